use super::*;
use std::collections::BTreeSet;

use apc_tests::SyntheticRun;
use detector::engine::{Engine, TractEngine};
use detector::network::{Backbone, Block, Variant};
use detector::preprocess::Size;
use prost::Message;
use tract_onnx::pb::ModelProto;

use crate::engine::load;
use crate::gate::relative;

fn synthetic(block: Block, variant: Variant, size: Size) -> SyntheticRun {
    let default = SyntheticRun::default();
    let backbone = Backbone { block, variant, inner_factor: 2, blocks: vec![2, 1, 1], ..default.backbone };
    let input = detector::preprocess::Preprocess { size, ..default.input };
    SyntheticRun { backbone, input, ..default }
}

/// Both block kinds, both variants, an input that is not square.
#[test]
fn tract_computes_what_the_definition_says() {
    for block in [Block::Basic, Block::Bottleneck] {
        for variant in [Variant::Torchvision, Variant::Original] {
            let size = Size { height: 64, width: 96 };
            let run = synthetic(block, variant, size);
            let bytes = backbone(&run.network(), &run.weights(), size).unwrap();
            let input: Vec<f32> = (0..3 * 64 * 96).map(|i| ((i * 7919) % 997) as f32 / 250.0 - 2.0).collect();
            let found = TractEngine::load(&bytes, size).unwrap().run(&input).unwrap();
            let expected = run.engine(run.weights()).run(&input).unwrap();
            assert_eq!(found.len(), 2);
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!((found.channels, found.height, found.width), (expected.channels, expected.height, expected.width));
                let difference = relative(&found.values, &expected.values);
                assert!(difference < 1e-5, "{block:?} {variant:?}: {difference}");
            }
        }
    }
}

/// Layers whose sizes are no multiples of each other; also in the int8 form, where the head stays in float.
#[test]
fn a_defect_head_is_written_like_any_other_part() {
    let size = Size { height: 72, width: 88 };
    let default = synthetic(Block::Basic, Variant::Torchvision, size);
    let run = SyntheticRun { backbone: Backbone { defect_units: Some(5), ..default.backbone.clone() }, ..default };
    let (network, weights) = (run.network(), run.weights());
    let input: Vec<f32> = (0..3 * 72 * 88).map(|i| ((i * 7919) % 997) as f32 / 250.0 - 2.0).collect();
    let expected = run.engine(run.weights()).run(&input).unwrap();
    let float = backbone(&network, &weights, size).unwrap();
    let found = TractEngine::load(&float, size).unwrap().run(&input).unwrap();
    assert_eq!((found.len(), found[2].channels, found[2].width), (3, 1, found[0].width));
    for (found, expected) in found.iter().zip(&expected) {
        assert!(relative(&found.values, &expected.values) < 1e-5);
    }

    let results = load(&observer(&network, &weights, size).unwrap(), size).unwrap().run(&input).unwrap();
    let activations: Vec<Activations> = results.iter().map(Activations::of).collect();
    let onnx = int8(&network, &weights, size, &activations, starts(&network)[0]).unwrap();
    let coarse = load(&onnx, size).unwrap().run(&input).unwrap();
    let difference = relative(&coarse[2].values, &expected[2].values);
    assert!(difference > 0.0 && difference < 0.2, "{difference}");
}

#[test]
fn names_are_torchvisions_and_never_twice() {
    let run = synthetic(Block::Bottleneck, Variant::Torchvision, Size { height: 64, width: 64 });
    let bytes = backbone(&run.network(), &run.weights(), run.input.size).unwrap();
    let graph = ModelProto::decode(bytes.as_slice()).unwrap().graph.unwrap();
    let names: BTreeSet<&str> = graph.node.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names.len(), graph.node.len());
    for name in ["conv1", "conv1.relu", "maxpool", "layer1.0.conv2", "layer1.0.downsample.0", "layer1.1.add", "layer1.1.relu"] {
        assert!(names.contains(name), "{name} not in {names:?}");
    }
    let outputs: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(outputs, ["layer2", "layer3"]);
}

#[test]
fn the_same_weights_give_the_same_bytes() {
    let run = SyntheticRun::default();
    let write = || backbone(&run.network(), &run.weights(), run.input.size).unwrap();
    assert_eq!(write(), write());
}

#[test]
fn too_small_an_input_is_refused() {
    let run = synthetic(Block::Basic, Variant::Original, Size { height: 64, width: 64 });
    let error = backbone(&run.network(), &run.weights(), Size { height: 2, width: 2 }).unwrap_err().to_string();
    assert!(error.contains("too small"), "{error}");
}

/// A bundle from somewhere else may say anything.
#[test]
fn groups_that_do_not_divide_the_channels_are_an_error() {
    let run = SyntheticRun::default();
    let onnx = backbone(&run.network(), &run.weights(), run.input.size).unwrap();
    let with_group = |group: i64| {
        let mut model = ModelProto::decode(&onnx[..]).unwrap();
        let nodes = &mut model.graph.as_mut().unwrap().node;
        let groups = nodes.iter_mut().flat_map(|node| &mut node.attribute).filter(|attribute| attribute.name == "group");
        groups.for_each(|attribute| attribute.i = group);
        TractEngine::load(&model.encode_to_vec(), run.input.size)
    };
    assert!(with_group(1).is_ok());
    for group in [0, -1, 2, 7, i64::MAX] {
        assert!(with_group(group).is_err(), "{group}");
    }
}
