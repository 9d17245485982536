//! ONNX Runtime: on the CPU, with CUDA, with TensorRT.

mod library;
mod session;
mod tensorrt;

use library::OrtLibrary;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session};
use ort::value::Tensor;

use super::interface::Engine;
use super::kind::{EngineKind, Machine};
use super::model;
use crate::bundle::Variant;
use crate::descriptor::FeatureMap;
use crate::placement::{self, Stay};
use crate::preprocess::Size;
use crate::{EngineFault, Error, Result};

/// A network on one of ONNX Runtime's providers, its input and outputs bound once.
pub struct OrtEngine {
    kind: EngineKind,
    /// The processor on which the calling thread runs during a run: it computes, too.
    place: Option<usize>,
    // Declared before the session: bound values must be dropped before it.
    binding: IoBinding,
    input: Tensor<f32>,
    input_name: String,
    output_names: Vec<String>,
    session: Session,
}

impl OrtEngine {
    /// Loads a network from memory, for one image of the given size; the number of threads is that of rayon's current pool. `bundle` is
    /// the id under which TensorRT keeps what it builds; `variant` says how closely the network must be computed.
    ///
    /// # Errors
    /// When the library, the provider or the device is missing, or the bytes are no ONNX model that they can run.
    pub fn load(
        (onnx, variant): (&[u8], Variant),
        size: Size,
        kind: EngineKind,
        machine: &Machine,
        bundle: &str,
    ) -> Result<OrtEngine> {
        let name = kind.name();
        let failed = |problem: String| Error::engine(name, EngineFault::Start, problem);
        model::read(name, onnx)?;
        let library = OrtLibrary::load(machine.onnxruntime.as_deref());
        let library = library.map_err(|problem| Error::engine(name, EngineFault::Library, problem))?;
        let session = session::start((onnx, variant), kind, machine, bundle, &library)
            .map_err(|error| failed(format!("cannot start with {}: {error}", library.path.display())))?;
        Self::bind(session, size, kind).map_err(|error| failed(error.to_string()))
    }

    fn bind(session: Session, size: Size, kind: EngineKind) -> ort::Result<OrtEngine> {
        let [input] = session.inputs() else {
            return Err(ort::Error::new(format!("the network has {} inputs, expected one", session.inputs().len())));
        };
        let input_name = input.name().to_string();
        let output_names: Vec<String> = session.outputs().iter().map(|output| output.name().to_string()).collect();
        let shape = [1usize, 3, size.height as usize, size.width as usize];
        let input = Tensor::<f32>::new(&Allocator::default(), shape)?;
        let mut binding = session.create_binding()?;
        // Results are small beside the values in between: they are copied to the CPU as a part of the run.
        let host = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default)?;
        for name in &output_names {
            binding.bind_output_to_device(name, &host)?;
        }
        let places = placement::of_threads(rayon::current_num_threads()).filter(|_| !kind.on_gpu());
        let place = places.and_then(<[usize]>::first).copied();
        Ok(OrtEngine { kind, place, binding, input, input_name, output_names, session })
    }
}

impl Engine for OrtEngine {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn run(&mut self, input: &[f32]) -> Result<Vec<FeatureMap>> {
        let name = self.kind.name();
        let failed = |problem: String| Error::engine(name, EngineFault::Run, problem);
        let told = |error: ort::Error| failed(error.to_string());
        let (_, values) = self.input.try_extract_tensor_mut::<f32>().map_err(told)?;
        if values.len() != input.len() {
            let expected = values.len();
            return Err(failed(format!("the image has {} values, the network takes {expected}", input.len())));
        }
        values.copy_from_slice(input);
        // Binding again copies the values to the device.
        self.binding.bind_input(&self.input_name, &self.input).map_err(told)?;
        let stay = self.place.map(Stay::on);
        let outputs = self.session.run_binding(&self.binding).map_err(told)?;
        drop(stay);
        self.binding.synchronize_outputs().map_err(told)?;
        let map = |output: &String| {
            let value = outputs.get(output).ok_or_else(|| failed(format!("gave no output {output:?}")))?;
            let (shape, values) = value.try_extract_tensor::<f32>().map_err(told)?;
            match shape[..] {
                [1, channels, height, width] => Ok(FeatureMap {
                    channels: channels as usize,
                    height: height as usize,
                    width: width as usize,
                    values: values.to_vec(),
                }),
                _ => Err(failed(format!("output {output:?} has shape {shape:?}, expected [1, channels, height, width]"))),
            }
        };
        self.output_names.iter().map(map).collect()
    }
}
