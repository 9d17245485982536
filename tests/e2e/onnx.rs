//! The exported network against the ONNX checker and ONNX Runtime.

use std::fs;
use std::process::Command;

use apc_tests::SyntheticRun;
use detector::bundle::Bundle;
use detector::network::{Block, Variant};
use detector::preprocess::Size;
use detector::run::Run;
use detector::tensors::Tensors;

use crate::support::{finish, run};

/// Checks the model in full, then compares ONNX Runtime's results with the run's stored ones and prints the largest relative
/// difference; a batch of two must give each image's results.
const SCRIPT: &str = r#"
import sys
import numpy, onnx, onnxruntime
model, inputs, expected = sys.argv[1:]
onnx.checker.check_model(onnx.load(model), full_check=True)
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
image, = session.get_inputs()
assert (image.name, image.shape[0]) == ("image", "batch"), (image.name, image.shape)
names = [output.name for output in session.get_outputs()]
assert names == ["layer2", "layer3"], names

def load(path):
    import json, struct
    data = open(path, "rb").read()
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    def tensor(entry):
        begin, end = entry["data_offsets"]
        return numpy.frombuffer(data[8 + length:][begin:end], numpy.float32).reshape(entry["shape"])
    return {name: tensor(entry) for name, entry in header.items()}

inputs, expected = load(inputs), load(expected)
worst = 0
for index in sorted(inputs):
    alone = session.run(names, {"image": inputs[index][None]})
    for name, found in zip(names, alone):
        reference = expected[f"{index}.{name}"]
        assert found.shape == (1, *reference.shape), (found.shape, reference.shape)
        worst = max(worst, abs(found[0] - reference).max() / abs(reference).max())
pair = session.run(names, {"image": numpy.stack([inputs["000"], inputs["001"]])})
for name, found in zip(names, pair):
    for i in range(2):
        reference = expected[f"00{i}.{name}"]
        worst = max(worst, abs(found[i] - reference).max() / abs(reference).max())
print(worst)
"#;

/// The parity gate has compared tract with the same stored results, so all three agree.
#[test]
fn onnx_runtime_agrees() {
    let Some(python) = std::env::var_os("APC_PYTHON") else {
        eprintln!("skipped: APC_PYTHON does not name a Python with onnx and onnxruntime; `cargo xtask test` sets it");
        return;
    };
    let default = SyntheticRun::default();
    let mut odd = default.clone();
    odd.backbone.block = Block::Bottleneck;
    odd.backbone.variant = Variant::Original;
    odd.backbone.inner_factor = 2;
    odd.input.size = Size { height: 64, width: 96 };
    for synthetic in [default, odd] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        synthetic.write(&path("run"), &path("data"));
        let options = ["bundle".into(), path("run"), "-o".into(), path("x.apc"), "--no-evaluate".into()];
        run("apc-export", options).expect(0);
        fs::write(path("backbone.onnx"), Bundle::read(&path("x.apc")).unwrap().file("backbone.onnx").unwrap()).unwrap();
        let run = Run::open(&path("run")).unwrap();
        let mut inputs = Tensors::default();
        let size = run.info.input.input();
        for (index, reference) in run.info.references.iter().enumerate() {
            let pixels = run.picture(&reference.picture).unwrap().pixels;
            let shape = [3, size.height as usize, size.width as usize];
            inputs.insert(format!("{index:03}"), shape, run.info.input.normalise(&pixels));
        }
        inputs.write(&path("inputs.safetensors")).unwrap();
        let mut command = Command::new(&python);
        command.args(["-c", SCRIPT]).arg(path("backbone.onnx")).arg(path("inputs.safetensors"));
        let finished = finish(command.arg(path("run/reference.safetensors"))).expect(0);
        let worst: f32 = finished.stdout.trim().parse().unwrap();
        assert!(worst < 1e-5, "{worst}");
    }
}
