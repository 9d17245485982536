//! Pretrained weights for the demonstration, where the hub can be reached.

use std::env;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::binaries::Build;
use crate::process;

/// The published weights that the demonstration takes.
const NAME: &str = "resnet18";
const HUB: &str = "https://huggingface.co";
/// How long a hub may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(3);

/// The file of the published weights; none where the hub cannot be reached.
pub fn fetch(build: &Build) -> Result<Option<PathBuf>> {
    let hub = env::var("HF_ENDPOINT").unwrap_or_else(|_| HUB.into());
    // With a proxy the hub's own address may not be reachable.
    let proxied = ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"].iter().any(|name| env::var_os(name).is_some());
    if !proxied && !answers(&hub) {
        eprintln!(
            "demo: {hub} does not answer; a small network takes the place of ImageNet weights (--weights names a file of them)"
        );
        return Ok(None);
    }
    eprintln!("demo: weights of {NAME} from {hub}");
    let mut fetch = Command::new(build.program("apc-trainer")?);
    match process::output_of(fetch.args(["weights", "fetch", NAME]), "cannot fetch the weights") {
        Ok(path) => Ok(Some(PathBuf::from(path.trim()))),
        Err(error) => {
            eprintln!("demo: {error:#}; a small network takes the place of ImageNet weights (--weights names a file of them)");
            Ok(None)
        }
    }
}

/// Whether something accepts a connection at this address.
fn answers(url: &str) -> bool {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let host = rest.split('/').next().unwrap_or_default();
    let port = if scheme == "http" { 80 } else { 443 };
    let address = if host.contains(':') { host.to_string() } else { format!("{host}:{port}") };
    let addresses = address.to_socket_addrs().into_iter().flatten();
    addresses.take(2).any(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_a_server_that_listens_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(answers(&format!("http://{address}/models")));
        drop(listener);
        assert!(!answers(&format!("http://{address}")));
        assert!(!answers("http://no.such.host.invalid"));
    }
}
