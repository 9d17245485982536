//! Requests to the line of a configuration from outside the service: a part, a product, safe outputs.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use config::Config;
use config::line::{Selection, TriggerBy};

use crate::gpio::{GpioError, Outputs};

/// A trigger's message.
const PART: &[u8] = b"part";

/// Why a request cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The configuration has no production line.
    #[error("there is no [line]")]
    NoLine,
    /// Parts are not triggered by software.
    #[error("line.trigger.mode is not \"software\"")]
    NoSoftwareTrigger,
    /// Products are not chosen by name.
    #[error("products are not chosen at a socket: there is no line.recipe.socket")]
    NoProductSocket,
    /// The line does not make this product.
    #[error("there is no product {name:?}; expected one of {}", products.join(", "))]
    UnknownProduct {
        /// The product that was asked for.
        name: String,
        /// The products of the line.
        products: Vec<String>,
    },
    /// The service cannot be reached.
    #[error("nobody listens at {socket}: is the service running?")]
    NoService {
        /// Its socket.
        socket: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Triggers a part in the running service.
///
/// # Errors
/// When the line has no software trigger, or no service runs.
pub fn trigger(config: &Config) -> Result<(), RequestError> {
    let line = config.line.as_ref().ok_or(RequestError::NoLine)?;
    match &line.trigger.by {
        TriggerBy::Socket(socket) => send(PART, socket),
        _ => Err(RequestError::NoSoftwareTrigger),
    }
}

/// Lets the running service make another product from now on.
///
/// # Errors
/// When products are not chosen by name, the line does not make this one, or no service runs.
pub fn choose_product(config: &Config, name: &str) -> Result<(), RequestError> {
    let selection = config.line.as_ref().and_then(|line| line.selection.as_ref());
    let Some(Selection::Socket { path, .. }) = selection else { return Err(RequestError::NoProductSocket) };
    if config.products.iter().all(|product| product.name != name) {
        let products = config.products.iter().map(|product| product.name.clone()).collect();
        return Err(RequestError::UnknownProduct { name: name.to_owned(), products });
    }
    send(name.as_bytes(), path)
}

/// Sets every output to its safe level. Without a line, or with a simulated one, no output is driven.
///
/// # Errors
/// When an output does not exist or is in use.
pub fn set_safe(config: &Config) -> Result<(), GpioError> {
    if let Some(line) = config.line.as_ref().filter(|line| !line.simulated) {
        // A request sets the safe levels; so does its end.
        drop(Outputs::request(&line.outputs)?);
    }
    Ok(())
}

fn send(message: &[u8], socket: &Path) -> Result<(), RequestError> {
    let sent = UnixDatagram::unbound().and_then(|sender| sender.send_to(message, socket));
    sent.map(drop).map_err(|source| RequestError::NoService { socket: socket.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &Path, line: &str) -> Config {
        let text = format!("[detector]\nbundle = \"a\"\n[source.replay]\nimages = \"i\"\n{line}");
        let text = text.replace("FOLDER", &folder.display().to_string());
        Config::parse(Path::new("line.toml"), &text).unwrap()
    }

    const LINE: &str = "[line]\ndelay_ms = 300\nsimulated = true\n[line.trigger]\nmode = \"software\"\nsocket = \"FOLDER/trigger\"\n\
                        [line.recipe]\nsocket = \"FOLDER/product\"\nstart = \"disc\"\n[recipes.disc]\n[recipes.nut]\n";

    #[test]
    fn a_request_reaches_the_service_or_says_why_not() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), LINE);
        let error = trigger(&config).unwrap_err().to_string();
        assert!(error.contains("nobody listens at") && error.contains("trigger"), "{error}");
        let received = |socket: &str, request: &dyn Fn() -> Result<(), RequestError>| {
            let service = UnixDatagram::bind(folder.path().join(socket)).unwrap();
            request().unwrap();
            let mut message = [0; 64];
            let length = service.recv(&mut message).unwrap();
            message[..length].to_vec()
        };
        assert_eq!(received("trigger", &|| trigger(&config)), b"part");
        assert_eq!(received("product", &|| choose_product(&config, "nut")), b"nut");
        let error = choose_product(&config, "bolt").unwrap_err().to_string();
        assert_eq!(error, "there is no product \"bolt\"; expected one of disc, nut");
    }

    #[test]
    fn a_line_without_sockets_takes_no_requests() {
        let without = config(Path::new(""), "");
        assert!(matches!(trigger(&without), Err(RequestError::NoLine)));
        assert!(matches!(choose_product(&without, "a"), Err(RequestError::NoProductSocket)));
        assert!(set_safe(&without).is_ok());
        let by_frame = config(Path::new(""), "[line]\ndelay_ms = 300\nsimulated = true\n[line.trigger]\nmode = \"frame\"\n");
        assert!(matches!(trigger(&by_frame), Err(RequestError::NoSoftwareTrigger)));
        assert!(set_safe(&by_frame).is_ok());
    }
}
