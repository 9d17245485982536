//! Pretrained weights: from a safetensors file, or by name from the Hugging Face hub.

use std::path::{Path, PathBuf};

use detector::network::{Backbone, Variant};
use detector::run::Run;
use detector::tensors::Tensors;
use detector::{Error, Result, files};

/// timm's weights for the known backbones: trained on ImageNet-1k, in torchvision's variant of the network.
const PUBLISHED: [(&str, &str); 4] = [
    ("resnet18", "timm/resnet18.tv_in1k"),
    ("resnet34", "timm/resnet34.tv_in1k"),
    ("resnet50", "timm/resnet50.tv_in1k"),
    ("wide_resnet50_2", "timm/wide_resnet50_2.tv_in1k"),
];
const HUB_FILE: &str = "model.safetensors";

/// Weights for `backbone` from a file or a published name; the backbone's variant becomes the file's.
///
/// # Errors
/// Names the file and the tensor that is missing or has another shape.
pub fn load(source: &str, backbone: &mut Backbone) -> Result<Tensors> {
    let path = match PUBLISHED.iter().any(|(name, _)| *name == source) && !Path::new(source).exists() {
        true => fetch(source, &Hub::default())?,
        false => PathBuf::from(source),
    };
    let mut file = Tensors::read(&path)?;
    check_architecture(&file, backbone, &path)?;
    // Files of the original release name their variant; torchvision's and timm's files have no such entry.
    let variant = file.metadata.get("variant").is_some_and(|variant| variant.starts_with("original"));
    backbone.variant = if variant { Variant::Original } else { Variant::Torchvision };
    let mut needed = Tensors::default();
    for (name, shape) in backbone.network()?.parameters() {
        let hint = |error: Error| {
            let name = &backbone.name;
            Error::file(&path, format!("{error}; weights of a {name} with torchvision's names were expected"))
        };
        file.f32(&name, &shape).map_err(hint)?;
        if let Some(tensor) = file.tensors.remove(&name) {
            needed.tensors.insert(name, tensor);
        }
    }
    Ok(needed)
}

fn check_architecture(file: &Tensors, backbone: &Backbone, path: &Path) -> Result<()> {
    match file.metadata.get("arch") {
        Some(found) if *found != backbone.name => {
            let expected = &backbone.name;
            Err(Error::file(path, format!("holds weights of a {found}; expected a {expected}, which backbone.name asks for")))
        }
        _ => Ok(()),
    }
}

/// Writes the backbone of a run as weights for other trainings: in half precision, without a defect head.
///
/// # Errors
/// When a weight is missing, or the file cannot be written.
pub fn keep(run: &Run, out: &Path) -> Result<()> {
    let mut all = run.weights()?;
    let backbone = Backbone { defect_units: None, ..run.info.backbone.clone() };
    let mut kept = Tensors::default();
    for (name, _) in backbone.network()?.parameters() {
        if let Some(tensor) = all.tensors.remove(&name) {
            kept.tensors.insert(name, tensor);
        }
    }
    kept.metadata.insert("arch".into(), backbone.name);
    if backbone.variant == Variant::Original {
        kept.metadata.insert("variant".into(), "original".into());
    }
    files::write_atomic(out, &kept.to_half_bytes()?)
}

/// Where published weights come from and are kept.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    /// Another server than the public one (or `HF_ENDPOINT`).
    pub endpoint: Option<String>,
    /// Another folder than the user's cache (or `HF_HOME`).
    pub cache: Option<PathBuf>,
}

/// Fetches published weights into the cache, or finds them there, and gives their path.
///
/// # Errors
/// When the name is unknown or the server cannot be reached.
pub fn fetch(name: &str, hub: &Hub) -> Result<PathBuf> {
    let (_, repository) = PUBLISHED.iter().find(|(published, _)| *published == name).ok_or_else(|| {
        let known = PUBLISHED.map(|(name, _)| name).join(", ");
        Error::invalid(format!(
            "weights {name:?}: neither a file nor a published name; expected a safetensors file or one of {known}"
        ))
    })?;
    let failed = |error: hf_hub::api::sync::ApiError| {
        let problem = format!(
            "weights {name:?} cannot be fetched from {repository}: {error}; \
             check the network, or give a safetensors file with --weights"
        );
        Error::invalid(problem)
    };
    let mut builder = hf_hub::api::sync::ApiBuilder::from_env().with_progress(true);
    if let Some(endpoint) = &hub.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    if let Some(cache) = &hub.cache {
        builder = builder.with_cache_dir(cache.clone());
    }
    let path = builder.build().and_then(|api| api.model(repository.to_string()).get(HUB_FILE)).map_err(failed)?;
    check_hash(&path).map(|()| path)
}

/// Compares a fetched file with the SHA-256 that the hub gives for it: the cache names the file by it. A file that differs is removed.
fn check_hash(path: &Path) -> Result<()> {
    let stored = std::fs::canonicalize(path).map_err(Error::io(path, "find"))?;
    let name = stored.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.len() != 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        log::warn!("{}: the hub gives no SHA-256 for it, so its content was not checked", path.display());
        return Ok(());
    }
    let found = files::sha256_file(&stored)?;
    if found == name.to_ascii_lowercase() {
        return Ok(());
    }
    for damaged in [path, stored.as_path()] {
        std::fs::remove_file(damaged)
            .or_else(|error| if damaged.exists() { Err(error) } else { Ok(()) })
            .map_err(Error::io(damaged, "remove"))?;
    }
    Err(Error::file(path, format!("has the SHA-256 {found}, but the hub says {name}; it was removed: fetch it again")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::random_weights;

    fn written(backbone: &Backbone, change: impl Fn(&mut Tensors)) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let mut weights = random_weights(backbone, 1).unwrap();
        change(&mut weights);
        weights.write(&path).unwrap();
        let path = path.to_string_lossy().into_owned();
        (folder, path)
    }

    #[test]
    fn wrong_names_and_shapes_are_named() {
        let mut backbone = Backbone::preset("resnet10").unwrap();
        let (_keep, sound) = written(&backbone, |weights| {
            weights.insert("fc.weight", [2], vec![0.0; 2]);
        });
        assert_eq!(load(&sound, &mut backbone).unwrap(), random_weights(&backbone, 1).unwrap(), "more than needed is fine");
        let (_keep, missing) = written(&backbone, |weights| {
            weights.tensors.remove("layer2.0.conv1.weight");
        });
        let (_keep2, shape) = written(&backbone, |weights| weights.insert("bn1.bias", [3], vec![0.0; 3]));
        let (_keep3, other) = written(&backbone, |weights| {
            weights.metadata.insert("arch".into(), "resnet50".into());
        });
        for (path, word) in [(missing, "layer2.0.conv1.weight"), (shape, "bn1.bias"), (other, "resnet50")] {
            let error = load(&path, &mut backbone).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("w.safetensors"), "{error}");
        }
    }

    #[test]
    fn the_variant_is_the_files() {
        let mut backbone = Backbone { variant: Variant::Original, ..Backbone::preset("resnet10").unwrap() };
        let (_keep, path) = written(&backbone, |weights| {
            weights.metadata.insert("variant".into(), "original (v1): ...".into());
        });
        backbone.variant = Variant::Torchvision;
        load(&path, &mut backbone).unwrap();
        assert_eq!(backbone.variant, Variant::Original);
    }

    /// A hub on this machine that serves one file under this ETag, and gives the paths of all requests.
    fn local_hub(body: &[u8], etag: String) -> (tempfile::TempDir, Hub, std::thread::JoinHandle<Vec<String>>) {
        let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", server.server_addr());
        let served = body.to_vec();
        let requests = std::thread::spawn(move || {
            let mut paths = Vec::new();
            while let Ok(Some(request)) = server.recv_timeout(std::time::Duration::from_secs(3)) {
                paths.push(request.url().to_string());
                serve(request, &served, &etag);
            }
            paths
        });
        let cache = tempfile::tempdir().unwrap();
        let hub = Hub { endpoint: Some(endpoint), cache: Some(cache.path().into()) };
        (cache, hub, requests)
    }

    #[test]
    fn a_file_that_is_not_what_the_hub_says_is_refused_and_not_kept() {
        let body = random_weights(&Backbone::preset("resnet18").unwrap(), 3).unwrap().to_bytes().unwrap();
        let (cache, hub, requests) = local_hub(&body, files::sha256(b"something else"));
        let error = fetch("resnet18", &hub).unwrap_err().to_string();
        assert!(error.contains(&files::sha256(&body)) && error.contains("fetch it again"), "{error}");
        requests.join().unwrap();
        let mut left = vec![cache.path().to_path_buf()];
        while let Some(folder) = left.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                assert!(!entry.is_file() || std::fs::metadata(&entry).unwrap().len() < 1000, "{} is kept", entry.display());
                left.extend(entry.is_dir().then_some(entry));
            }
        }
    }

    #[test]
    fn weights_are_fetched_once_and_then_cached() {
        let body = random_weights(&Backbone::preset("resnet18").unwrap(), 3).unwrap().to_bytes().unwrap();
        let (_cache, hub, requests) = local_hub(&body, files::sha256(&body));
        let first = fetch("resnet18", &hub).unwrap();
        assert_eq!(std::fs::read(&first).unwrap(), body);
        let paths = requests.join().unwrap();
        assert!(paths.iter().all(|path| path == "/timm/resnet18.tv_in1k/resolve/main/model.safetensors"), "{paths:?}");
        assert_eq!(fetch("resnet18", &hub).unwrap(), first, "the server is gone: this came from the cache");
        assert!(fetch("resnet34", &hub).is_err());
        assert!(fetch("resnet19", &hub).unwrap_err().to_string().contains("resnet18"));
    }

    /// The part of the hub's protocol that a download needs: ranges, an etag and a commit.
    fn serve(request: tiny_http::Request, body: &[u8], etag: &str) {
        let header = |name: &str, value: &str| tiny_http::Header::from_bytes(name, value).unwrap();
        let range = request.headers().iter().find(|header| header.field.equiv("Range"));
        let range = range.map(|header| header.value.as_str().trim_start_matches("bytes=").to_string());
        let (start, end) = match range.as_deref().and_then(|range| range.split_once('-')) {
            Some((start, end)) => (start.parse().unwrap(), end.parse::<usize>().unwrap_or(body.len() - 1).min(body.len() - 1)),
            None => (0, body.len() - 1),
        };
        let status = if range.is_some() { 206 } else { 200 };
        let response = tiny_http::Response::from_data(&body[start..=end])
            .with_status_code(status)
            .with_chunked_threshold(usize::MAX)
            .with_header(header("ETag", &format!("\"{etag}\"")))
            .with_header(header("X-Repo-Commit", "0123456789012345678901234567890123456789"))
            .with_header(header("Content-Range", &format!("bytes {start}-{end}/{}", body.len())));
        let _ = request.respond(response);
    }
}
