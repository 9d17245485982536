//! `cargo xtask demo`: from images to verdicts with the real programs, and a table of the results.

mod line;
mod table;
mod weights;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use detector::evaluate::Figures;

use crate::binaries::{Build, Targets};
use crate::files::{self, sha256};
use crate::workspace::Workspace;
use crate::{figures, process, setup};

/// Train, export, evaluate, and run the camera service on a replayed production line of parts; ends with a table.
///
/// Without --data it renders a small product set. Without --weights it fetches ImageNet weights from the Hugging Face hub, and where the hub
/// cannot be reached it takes a small network that this project has trained on other rendered parts. Results of an earlier demo with the
/// same inputs are used again.
#[derive(clap::Args)]
pub struct Args {
    /// Your images: MVTec's layout, or the folders good, anomalous and (optional) masks
    #[arg(long)]
    data: Option<PathBuf>,
    /// Pretrained backbone weights (safetensors)
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Do not ask the hub for weights
    #[arg(long, conflicts_with = "weights")]
    offline: bool,
    /// Where everything goes; default: demo-out/ and the product's name
    #[arg(long)]
    out: Option<PathBuf>,
    /// Parts on the replayed production line, drawn from the images that training has not seen
    #[arg(long, default_value_t = 60)]
    parts: usize,
    /// Do everything again
    #[arg(long)]
    fresh: bool,
}

/// Runs the command.
pub fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    let mut demo = Demo::new(workspace, args)?;
    let libtorch = setup::prepare(workspace)?;
    let build = Build::of(workspace, &libtorch, Targets::Programs)?;
    if args.weights.is_none() && !args.offline {
        demo.take_published(workspace, weights::fetch(&build)?);
    }
    if args.fresh {
        demo.forget()?;
    }
    demo.claim()?;
    demo.render(&build)?;
    demo.train(&build)?;
    demo.export(&build)?;
    let figures = demo.evaluate(&build)?;
    let counts = line::run(&build, &demo.line(args.parts), &figures)?;
    let table = table::table(&demo.name, demo.weights.is_some(), &figures, &counts);
    writeln!(io::stdout(), "\n{table}report: {}", demo.report().display()).context("cannot print the result")?;
    Ok(true)
}

/// The recipe for pretrained weights, or the one that names the rendered parts' own.
fn recipe(workspace: &Workspace, pretrained: bool) -> PathBuf {
    workspace.root().join("configs/train").join(if pretrained { "apc+.toml" } else { "demo.toml" })
}

/// The inputs of a demo and the folder of its results; all paths are absolute.
struct Demo {
    /// Name of the product.
    name: String,
    data: PathBuf,
    /// Whether the images are rendered.
    synthetic: bool,
    weights: Option<PathBuf>,
    recipe: PathBuf,
    out: PathBuf,
}

impl Demo {
    fn new(workspace: &Workspace, args: &Args) -> Result<Self> {
        let absolute = |path: &PathBuf| {
            let path = std::path::absolute(path).with_context(|| format!("not a path: {:?}", path.display()))?;
            if !path.exists() {
                bail!("{} does not exist", path.display());
            }
            Ok(path)
        };
        let weights = args.weights.as_ref().map(absolute).transpose()?;
        let data = args.data.as_ref().map(absolute).transpose()?;
        let name = match &data {
            Some(data) => data.file_name().context("--data must be a folder with a name")?.to_string_lossy().into_owned(),
            None => "rendered-part".into(),
        };
        let out = args.out.clone().unwrap_or_else(|| workspace.root().join("demo-out").join(&name));
        let out = std::path::absolute(out).context("--out is not a path")?;
        let recipe = recipe(workspace, weights.is_some());
        let synthetic = data.is_none();
        Ok(Self { name, data: data.unwrap_or_else(|| out.join("images")), synthetic, weights, recipe, out })
    }

    /// Learns on weights from the hub, if there are any.
    fn take_published(&mut self, workspace: &Workspace, published: Option<PathBuf>) {
        if let Some(weights) = published {
            self.recipe = recipe(workspace, true);
            self.weights = Some(weights);
        }
    }

    fn run_folder(&self) -> PathBuf {
        self.out.join("run")
    }

    fn bundle(&self) -> PathBuf {
        self.out.join(format!("{}.apc", self.name))
    }

    fn evaluation(&self) -> PathBuf {
        self.out.join("evaluation.json")
    }

    fn report(&self) -> PathBuf {
        self.out.join("report.html")
    }

    fn line(&self, parts: usize) -> line::Line {
        line::Line {
            data: self.data.clone(),
            run: self.run_folder(),
            bundle: self.bundle(),
            folder: self.out.join("line"),
            parts,
        }
    }

    /// Removes what an earlier demo wrote, and nothing else: `--out` may be a folder that holds more.
    fn forget(&self) -> Result<()> {
        let mut ours =
            vec![self.inputs(), self.run_folder(), self.bundle(), self.evaluation(), self.report(), self.out.join("line")];
        if self.synthetic {
            ours.push(self.data.clone());
        }
        ours.iter().try_for_each(|path| files::remove(path))
    }

    /// The file with the inputs of the results in the folder.
    fn inputs(&self) -> PathBuf {
        self.out.join("inputs")
    }

    /// Refuses to go on with results of other inputs.
    fn claim(&self) -> Result<()> {
        let weights = self.weights.as_deref().map(sha256).transpose()?.unwrap_or_else(|| "none".into());
        let data = if self.synthetic { "rendered".into() } else { self.data.display().to_string() };
        let inputs = format!("data {data}\nweights {weights}\nrecipe {}\n", sha256(&self.recipe)?);
        let path = self.inputs();
        if !path.exists() {
            files::make_folder(&self.out)?;
            return files::write(&path, inputs);
        }
        if files::read(&path)? != inputs {
            bail!(
                "{} holds a demo of other images, weights or another recipe: --fresh does it again, --out puts this one elsewhere",
                self.out.display()
            );
        }
        Ok(())
    }

    fn render(&self, build: &Build) -> Result<()> {
        if !self.synthetic || self.data.exists() {
            return Ok(());
        }
        eprintln!("demo: rendering a product");
        let mut synth = Command::new(build.program("apc-trainer")?);
        process::run_to_success(synth.arg("synth").arg("--out").arg(&self.data), "cannot render the product")
    }

    fn train(&self, build: &Build) -> Result<()> {
        let run = self.run_folder();
        // The trainer writes it last.
        if run.join("run.toml").exists() {
            eprintln!("demo: already trained, {}", run.display());
            return Ok(());
        }
        eprintln!("demo: training with {}", self.recipe.display());
        let mut train = Command::new(build.program("apc-trainer")?);
        train.arg("train").arg("--config").arg(&self.recipe).arg("--data").arg(&self.data).arg("--out").arg(&run);
        if let Some(weights) = &self.weights {
            train.arg("--weights").arg(weights);
        }
        if run.exists() {
            train.arg("--resume");
        }
        process::run_to_success(&mut train, "cannot train")
    }

    fn export(&self, build: &Build) -> Result<()> {
        let bundle = self.bundle();
        if bundle.exists() {
            eprintln!("demo: already exported, {}", bundle.display());
            return Ok(());
        }
        eprintln!("demo: exporting {}", bundle.display());
        let mut export = Command::new(build.program("apc-export")?);
        process::run_to_success(
            export.arg("bundle").arg(self.run_folder()).arg("-o").arg(&bundle),
            "cannot export the run as a bundle",
        )
    }

    /// The bundle's figures on unseen images, and the HTML report.
    fn evaluate(&self, build: &Build) -> Result<Figures> {
        let kept = self.evaluation();
        if self.report().exists()
            && let Ok(figures) = figures::read(&kept)
        {
            eprintln!("demo: already evaluated, {}", kept.display());
            return Ok(figures);
        }
        eprintln!("demo: evaluating the bundle");
        let mut evaluate = Command::new(build.program("apc-runtime")?);
        evaluate.arg("evaluate").arg("--json").arg("--model").arg(self.bundle()).arg("--data").arg(&self.data);
        evaluate.arg("--report").arg(self.report());
        let text = process::output_of(&mut evaluate, "cannot evaluate the bundle")?;
        let figures = figures::parse(&text, Path::new("apc-runtime evaluate --json"))?;
        files::write(&kept, text)?;
        Ok(figures)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::tempdir;

    use super::*;

    fn demo(folder: &Path) -> Demo {
        let recipe = folder.join("recipe.toml");
        fs::write(&recipe, "mode = \"apc\"").unwrap();
        let out = folder.join("out");
        Demo { name: "part".into(), data: out.join("images"), synthetic: true, weights: None, recipe, out }
    }

    #[test]
    fn results_of_other_inputs_are_refused_until_done_afresh() {
        let folder = tempdir().unwrap();
        let demo = demo(folder.path());
        demo.claim().unwrap();
        demo.claim().unwrap();
        fs::write(&demo.recipe, "mode = \"patchcore\"").unwrap();
        assert!(demo.claim().unwrap_err().to_string().contains("--fresh"));
        demo.forget().unwrap();
        demo.claim().unwrap();
    }

    #[test]
    fn fresh_removes_only_what_a_demo_wrote() {
        let folder = tempdir().unwrap();
        let demo = demo(folder.path());
        fs::create_dir_all(demo.run_folder()).unwrap();
        for path in [demo.bundle(), demo.report(), demo.out.join("mine.txt")] {
            fs::write(path, "").unwrap();
        }
        demo.forget().unwrap();
        let left: Vec<_> = fs::read_dir(&demo.out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["mine.txt"]);
    }
}
