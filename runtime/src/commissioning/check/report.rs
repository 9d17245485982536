use std::fmt::Display;

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Something that a person should know and that is no fault.
    Note(String),
    /// A check and its result.
    Check {
        /// What was checked.
        name: String,
        /// Whether it holds.
        holds: bool,
        /// The figures where it holds; otherwise what is wrong and what to do.
        text: String,
    },
}

/// Hands each entry to the caller at once, because the next check may take long.
pub(super) struct Report<'a, E> {
    show: &'a mut dyn FnMut(Entry) -> Result<(), E>,
    pub(super) all_hold: bool,
}

impl<'a, E> Report<'a, E> {
    pub(super) fn new(show: &'a mut dyn FnMut(Entry) -> Result<(), E>) -> Report<'a, E> {
        Report { show, all_hold: true }
    }

    pub(super) fn note(&mut self, text: String) -> Result<(), E> {
        (self.show)(Entry::Note(text))
    }

    /// Reports a check: the text where it holds, or its error.
    pub(super) fn add(&mut self, name: &str, result: Result<String, impl Display>) -> Result<(), E> {
        self.add_with(name, result.map(|text| (text, ()))).map(|_| ())
    }

    /// The same for a check that finds a value, which is given back.
    pub(super) fn add_with<T>(&mut self, name: &str, result: Result<(String, T), impl Display>) -> Result<Option<T>, E> {
        let (text, value) = match result {
            Ok((text, value)) => (text, Some(value)),
            Err(error) => (error.to_string(), None),
        };
        let holds = value.is_some();
        self.all_hold &= holds;
        (self.show)(Entry::Check { name: name.to_owned(), holds, text })?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_shown_at_once_and_one_failure_fails_all() {
        let mut shown = Vec::new();
        let mut show = |entry| {
            shown.push(entry);
            if shown.len() < 4 { Ok(()) } else { Err("nobody reads") }
        };
        let mut report = Report::new(&mut show);
        assert_eq!(report.add_with("bundle", Ok::<_, &str>(("disc".to_owned(), 7))), Ok(Some(7)));
        assert!(report.all_hold);
        assert_eq!(report.add("camera", Err("not there")), Ok(()));
        assert_eq!(report.add("line", Ok::<_, &str>("simulated".to_owned())), Ok(()));
        assert!(!report.all_hold);
        assert_eq!(report.note("engine cuda is not used".into()), Err("nobody reads"));
        let check = |name: &str, holds, text: &str| Entry::Check { name: name.into(), holds, text: text.into() };
        let expected = [check("bundle", true, "disc"), check("camera", false, "not there"), check("line", true, "simulated")];
        assert_eq!(shown[..3], expected);
    }
}
