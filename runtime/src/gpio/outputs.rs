//! The GPIO outputs and their safe levels.

use std::collections::BTreeMap;

use config::line::{GpioOutputs, Safe};
use gpiocdev::Request;
use gpiocdev::line::{Offset, Value};
use gpiocdev::request::Config;
use verdict::Output;

use super::find::find;
use super::{CONSUMER, GpioError};

/// The outputs that the configuration names. Each is at its safe level until it is set, and again when `Outputs` is dropped.
#[derive(Debug)]
pub struct Outputs {
    pins: [Option<Pin>; Output::ALL.len()],
}

#[derive(Debug)]
struct Pin {
    request: Request,
    offset: Offset,
    safe: Value,
}

impl Outputs {
    /// Requests the GPIO line of every output, at its safe level.
    ///
    /// # Errors
    /// When a GPIO line does not exist, is in use, or is refused by the kernel.
    pub fn request(config: &GpioOutputs) -> Result<Outputs, GpioError> {
        let mut pins = [const { None }; Output::ALL.len()];
        let mut requested = BTreeMap::new();
        for output in Output::ALL {
            let Some(settings) = config.get(output) else { continue };
            let key = format!("line.outputs.{}", output.word());
            let line = &settings.line;
            let found = find(&key, line)?;
            if let Some(other) = requested.insert((found.chip.clone(), found.offset), output) {
                let consumer = format!("line.outputs.{} of this configuration", other.word());
                return Err(GpioError::Taken { key, line: found.name, consumer });
            }
            let safe = value(settings.safe == Safe::Active);
            let mut request = Config::default();
            found.configure(&mut request, line).as_output(safe);
            let request = Request::from_config(request).with_consumer(CONSUMER).request();
            let request = request.map_err(|error| found.refused(&key, error))?;
            pins[output as usize] = Some(Pin { request, offset: found.offset, safe });
        }
        Ok(Outputs { pins })
    }

    /// Outputs without GPIO lines: nothing is driven.
    pub fn simulated() -> Outputs {
        Outputs { pins: [const { None }; Output::ALL.len()] }
    }

    /// Sets an output; does nothing for an output without a GPIO line. Does not allocate unless it fails.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set(&self, output: Output, active: bool) -> Result<(), gpiocdev::Error> {
        match &self.pins[output as usize] {
            Some(pin) => pin.request.set_value(pin.offset, value(active)),
            None => Ok(()),
        }
    }

    /// Sets every output to its safe level, even if some of them fail.
    pub fn make_safe(&self) {
        for pin in self.pins.iter().flatten() {
            // After a failure the other outputs must still be set.
            let _ = pin.request.set_value(pin.offset, pin.safe);
        }
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.make_safe();
    }
}

fn value(active: bool) -> Value {
    if active { Value::Active } else { Value::Inactive }
}
