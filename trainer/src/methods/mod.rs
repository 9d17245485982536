//! The methods of learning, one module each.
//!
//! A new method needs a module with a [`Method`], a variant of [`Mode`] and the arms that the compiler then asks for: in [`method`],
//! and in the checks of [`crate::recipe`].

mod apc;
mod apc_plus;
mod interface;
mod patchcore;

pub use self::interface::{Course, Learned, Method};
use crate::recipe::Mode;

/// The method that a mode names.
pub fn method(mode: Mode) -> &'static dyn Method {
    match mode {
        Mode::PatchCore => &patchcore::PatchCore,
        Mode::Apc => &apc::Apc,
        Mode::ApcPlus => &apc_plus::ApcPlus,
    }
}
