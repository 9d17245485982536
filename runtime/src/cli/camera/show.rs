use std::path::PathBuf;

use anyhow::Result;

use crate::camera::format::PixelFormat;
use crate::camera::v4l2::device::Device;
use crate::cli::answer::Answer;
use crate::cli::output;

/// Show what a camera offers: formats, sizes, rates and controls
#[derive(clap::Args)]
pub(super) struct Args {
    /// The camera; `camera list` names them
    #[arg(value_name = "DEVICE")]
    device: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<Answer> {
    let device = Device::open(&args.device)?;
    let identity = &device.identity;
    output::print(&format!("{} ({}, {})", identity.card, identity.driver, identity.bus))?;
    let mode = device.mode()?;
    let rate = device.frame_rate().map(|rate| format!(" at {rate:.2}/s")).unwrap_or_default();
    let conversion = mode.conversion;
    output::print(&format!("set to {mode}{rate}, {:?}, {:?} range", conversion.matrix, conversion.range))?;
    if let Some((region, bounds)) = device.region() {
        let text = |r: crate::camera::v4l2::Rectangle| format!("[{}, {}, {}, {}]", r.left, r.top, r.width, r.height);
        output::print(&format!("region {} of {}", text(region), text(bounds)))?;
    }
    output::print("formats:")?;
    for offer in device.offers() {
        let note = if PixelFormat::of(offer.code).is_none() { " (cannot be decoded)" } else { "" };
        output::print(&format!("  {offer}{note}"))?;
    }
    output::print("controls:")?;
    for control in device.controls() {
        let value = device.get(&control).map(|value| format!(" = {value}")).unwrap_or_default();
        let ruled = if control.is_inactive() { " (another control rules it)" } else { "" };
        output::print(&format!("  {}{value}: {}, default {}{ruled}", control.name, control.kind, control.default))?;
    }
    Ok(Answer::Done)
}
