//! Controls of a camera, by name.

use std::fmt;

use config::Setting;
use detector::{Error, Result};

use super::abi::*;
use super::device::{Device, text};
use super::sys::{self, Argument};

const LIST_LIMIT: usize = 1024;

/// A control, such as exposure or gain.
#[derive(Clone, Debug)]
pub struct Control {
    id: u32,
    /// Its name in configurations: lower case, with underscores.
    pub name: String,
    /// The values that it takes.
    pub kind: Kind,
    /// The driver's default.
    pub default: i32,
    flags: u32,
}

/// The values that a control takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A number in a range.
    Integer {
        /// Least.
        minimum: i32,
        /// Largest.
        maximum: i32,
        /// Difference between one value and the next.
        step: i32,
    },
    /// Yes or no.
    Boolean,
    /// One of these entries, by number and name.
    Menu(Vec<(i32, String)>),
    /// A value that a configuration cannot hold.
    Other,
}

impl Control {
    fn is_settable(&self) -> bool {
        self.flags & (CONTROL_DISABLED | CONTROL_READ_ONLY) == 0 && self.kind != Kind::Other
    }

    fn is_readable(&self) -> bool {
        self.flags & (CONTROL_WRITE_ONLY | CONTROL_DISABLED) == 0 && self.kind != Kind::Other
    }

    /// Whether another control, such as an automatic, overrides this one.
    pub fn is_inactive(&self) -> bool {
        self.flags & CONTROL_INACTIVE != 0
    }

    /// The driver's number for a setting.
    fn value(&self, setting: &Setting) -> std::result::Result<i32, String> {
        let value = match (&self.kind, setting) {
            (Kind::Integer { minimum, maximum, step }, Setting::Integer(value)) => {
                let fits = (minimum..=maximum).contains(&value)
                    && (i64::from(*value) - i64::from(*minimum)) % i64::from((*step).max(1)) == 0;
                fits.then_some(*value)
            }
            (Kind::Boolean, Setting::Boolean(value)) => Some(i32::from(*value)),
            (Kind::Menu(entries), Setting::Integer(value)) => {
                entries.iter().map(|(index, _)| *index).find(|index| index == value)
            }
            (Kind::Menu(entries), Setting::Entry(name)) => {
                entries.iter().find(|(_, entry)| entry.eq_ignore_ascii_case(name)).map(|(index, _)| *index)
            }
            _ => None,
        };
        value.ok_or_else(|| format!("{} = {setting} does not fit: the control takes {}", self.name, self.kind))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Integer { minimum, maximum, step: 0 | 1 } => write!(f, "{minimum} to {maximum}"),
            Kind::Integer { minimum, maximum, step } => write!(f, "{minimum} to {maximum} in steps of {step}"),
            Kind::Boolean => f.write_str("true or false"),
            Kind::Menu(entries) => {
                let entries: Vec<_> = entries.iter().map(|(_, entry)| format!("{entry:?}")).collect();
                f.write_str(&entries.join(", "))
            }
            Kind::Other => f.write_str("nothing that can be set here"),
        }
    }
}

impl Device {
    /// All controls.
    pub fn controls(&self) -> Vec<Control> {
        let mut controls: Vec<Control> = Vec::new();
        let mut last = 0;
        while controls.len() < LIST_LIMIT {
            let mut query = QueryControl { id: last | CONTROL_NEXT, ..QueryControl::zero() };
            // A driver whose list does not advance would keep this loop running without end.
            if sys::QUERY_CONTROL.send(&self.descriptor, &mut query).is_err() || query.id <= last {
                break;
            }
            last = query.id;
            let kind = match query.type_ {
                CONTROL_INTEGER => Kind::Integer { minimum: query.minimum, maximum: query.maximum, step: query.step },
                CONTROL_BOOLEAN => Kind::Boolean,
                CONTROL_MENU | CONTROL_INTEGER_MENU => Kind::Menu(self.menu(&query)),
                // A heading of the list, not a control.
                CONTROL_CLASS => continue,
                CONTROL_BITMASK => Kind::Integer { minimum: 0, maximum: query.maximum, step: 1 },
                _ => Kind::Other,
            };
            controls.push(Control {
                id: query.id,
                name: plain(&text(&query.name)),
                kind,
                default: query.default_value,
                flags: query.flags,
            });
        }
        controls
    }

    fn menu(&self, query: &QueryControl) -> Vec<(i32, String)> {
        let indices = query.minimum.max(0)..=query.maximum.min(LIST_LIMIT as i32);
        let entry = |index: i32| {
            let mut menu = QueryMenu { id: query.id, index: index.unsigned_abs(), ..QueryMenu::zero() };
            sys::QUERY_MENU.send(&self.descriptor, &mut menu).ok()?;
            let is_number = query.type_ == CONTROL_INTEGER_MENU;
            Some((index, if is_number { entry_number(&menu).to_string() } else { text(&entry_name(&menu)) }))
        };
        indices.filter_map(entry).collect()
    }

    /// The present value of a control; none if it cannot be read.
    pub fn get(&self, control: &Control) -> Option<i32> {
        let mut value = ControlValue { id: control.id, value: 0 };
        control.is_readable().then(|| sys::GET_CONTROL.send(&self.descriptor, &mut value).ok().map(|()| value.value))?
    }

    /// Sets controls by name, then reads them back. Modes are set first: most numbers can only be set while the automatic is off.
    ///
    /// # Errors
    /// Names a control that the camera does not have, that does not take its value, or that does not keep its value.
    pub fn set_controls<'a>(&self, settings: impl IntoIterator<Item = (&'a String, &'a Setting)>) -> Result<()> {
        let refused = |problem: String| Error::file(self.path(), problem);
        let controls = self.controls();
        let mut wanted = Vec::new();
        for (name, setting) in settings {
            let control = controls.iter().find(|control| control.name == *name).ok_or_else(|| {
                let names: Vec<_> =
                    controls.iter().filter(|control| control.is_settable()).map(|control| control.name.as_str()).collect();
                refused(format!("has no control {name:?}; it has {}", names.join(", ")))
            })?;
            if !control.is_settable() {
                return Err(refused(format!("{name} can only be read")));
            }
            wanted.push((control, control.value(setting).map_err(refused)?));
        }
        wanted.sort_by_key(|(control, _)| matches!(control.kind, Kind::Integer { .. }));
        for (control, value) in &wanted {
            let mut value = ControlValue { id: control.id, value: *value };
            let set = sys::SET_CONTROL.send(&self.descriptor, &mut value);
            set.map_err(|errno| self.failed(&format!("set {} to {}", control.name, value.value), errno))?;
        }
        for (control, value) in wanted {
            let is_steady = control.flags & CONTROL_VOLATILE == 0;
            if let Some(kept) = self.get(control).filter(|kept| *kept != value && is_steady) {
                return Err(refused(format!(
                    "took {kept} for {} instead of {value}: another control may override it, such as an automatic that is on",
                    control.name
                )));
            }
        }
        Ok(())
    }
}

/// "Exposure Time, Absolute" is `exposure_time_absolute`.
fn plain(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(kind: Kind) -> Control {
        Control { id: 1, name: "x".into(), kind, default: 0, flags: 0 }
    }

    #[test]
    fn names_are_those_of_v4l2_ctl() {
        assert_eq!(plain("Exposure Time, Absolute"), "exposure_time_absolute");
        assert_eq!(plain("White Balance, Auto & Preset"), "white_balance_auto_preset");
        assert_eq!(plain("HDMI 000-0 Is Connected To"), "hdmi_000_0_is_connected_to");
    }

    #[test]
    fn settings_that_do_not_fit_are_refused() {
        let gain = control(Kind::Integer { minimum: 2, maximum: 20, step: 3 });
        assert_eq!(gain.value(&Setting::Integer(8)), Ok(8));
        for setting in [Setting::Integer(7), Setting::Integer(1), Setting::Integer(23), Setting::Boolean(true)] {
            assert!(gain.value(&setting).unwrap_err().contains("2 to 20 in steps of 3"));
        }
        let mode = control(Kind::Menu(vec![(1, "Manual Mode".into()), (3, "Aperture Priority Mode".into())]));
        assert_eq!(mode.value(&Setting::Entry("manual mode".into())), Ok(1));
        assert_eq!(mode.value(&Setting::Integer(3)), Ok(3));
        assert!(mode.value(&Setting::Integer(2)).is_err());
        assert!(mode.value(&Setting::Entry("auto".into())).unwrap_err().contains("Manual Mode"));
        assert_eq!(control(Kind::Boolean).value(&Setting::Boolean(true)), Ok(1));
    }
}
