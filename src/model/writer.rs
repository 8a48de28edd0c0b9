//! Writers: who changed a file, as far as a filesystem can tell.

use std::fs;

use crate::base::limits::WRITER_NAME_BYTES_MAX;

/// A program that changes files, and for whom it does so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer {
    name: Box<[u8]>,
    /// The user whose rights it used.
    pub uid: u32,
}

impl Writer {
    /// A writer with this name, which is empty where it is not known. What is too long is cut off.
    pub fn new(name: &[u8], uid: u32) -> Self {
        Self { name: name[..name.len().min(WRITER_NAME_BYTES_MAX)].into(), uid }
    }

    /// This process.
    pub fn this_process() -> Self {
        // Without it there is still the user.
        let name = fs::read("/proc/self/comm").unwrap_or_default();
        let name = name.strip_suffix(b"\n").unwrap_or(&name);
        Self::new(name, rustix::process::geteuid().as_raw())
    }

    /// The name of the process, as the system shows it in lists of processes; empty where it is
    /// not known. Any bytes may be in it.
    pub fn name(&self) -> &[u8] {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::Writer;
    use crate::base::limits::WRITER_NAME_BYTES_MAX;

    #[test]
    fn this_process_has_a_name_without_the_end_of_its_line() {
        let writer = Writer::this_process();
        assert!(!writer.name().is_empty() && !writer.name().contains(&b'\n'));
        assert_eq!(writer.uid, rustix::process::geteuid().as_raw());
    }

    #[test]
    fn a_name_is_no_longer_than_what_formats_take() {
        let writer = Writer::new(&[b'x'; WRITER_NAME_BYTES_MAX + 1], 7);
        assert_eq!(writer.name().len(), WRITER_NAME_BYTES_MAX);
    }
}
