//! Looking at every byte of a pack that counts.
//!
//! What the footer lists counts, and every record that it lists is read and hashed. Where a footer
//! is damaged or missing, the records are looked for from the start. Bytes between records that no
//! footer lists are what a writer left that died, and are not looked at.
//!
//! A pack without a footer is not damaged for that, unless its header tells of one: it may be the
//! one that is being written, or its writer died. What such a writer leaves at the end is a prefix
//! of what it was writing. So it is told from a footer that was there and is damaged now by what
//! the footer would be.

use std::io;
use std::path::{Path, PathBuf};

use super::file::file_name;
use super::scan::{Scan, Window, scan};
use super::set::decode_record;
use crate::base::disk::{Disk, DiskFile, OpenMode};
use crate::format::pack::{
    ENTRY_BYTES, FANOUT_BYTES, Fanout, HEADER_BYTES, PackEntry, PackState, RECORD_HEADER_BYTES,
    RECORD_MAGIC, RecordHeader, TRAILER_BYTES, Trailer, decode_header, encode_footer,
};
use crate::store::{Finding, Part};

/// After so many bytes somebody is told.
const TICK_BYTES: u64 = 1024 * 1024;

/// Called with the objects and the bytes that were looked at since the last time.
pub(in crate::store) type Tick<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// What a pack was found to be.
pub(in crate::store) struct CheckedPack {
    pub(in crate::store) findings: Vec<Finding>,
    /// Every object that is listed or was found, in the order of the records, and whether it is
    /// whole.
    pub(in crate::store) entries: Vec<(PackEntry, bool)>,
    /// Where the records end, as far as is known.
    pub(in crate::store) records_end: u64,
    /// It ends with a trailer that checks.
    pub(in crate::store) is_sealed: bool,
}

impl CheckedPack {
    /// Tells whether this part is damaged.
    pub(in crate::store) fn has(&self, part: Part) -> bool {
        self.findings.iter().any(|finding| finding.part == part)
    }
}

/// Looks at a pack. `None` if it is not there, or is not any more.
pub(in crate::store) fn check_pack(
    disk: &dyn Disk,
    dir: &Path,
    number: u64,
    tick: Tick<'_>,
) -> Option<CheckedPack> {
    let path = dir.join(file_name(number));
    let mut checked = check_once(disk, &path, number, tick)?;
    if !checked.is_sealed && !checked.findings.is_empty() {
        // It may have been sealed meanwhile, which happens to a pack once.
        checked = check_once(disk, &path, number, &|_, _| {})?;
    }
    // Whoever removed it has put what matters elsewhere.
    matches!(disk.find(&path), Ok(Some(_)) | Err(_)).then_some(checked)
}

fn check_once(disk: &dyn Disk, path: &Path, number: u64, tick: Tick<'_>) -> Option<CheckedPack> {
    let name = Path::new("packs").join(file_name(number));
    let opened = disk.open(path, OpenMode::Read).and_then(|file| Ok((file.len()?, file)));
    let (file_bytes, file) = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            let findings = vec![Finding::of_file(Part::Object, name, unreadable(&error))];
            let entries = Vec::new();
            return Some(CheckedPack { findings, entries, records_end: 0, is_sealed: false });
        }
        Ok(opened) => opened,
    };
    let mut check = Check { file: &*file, name, file_bytes, tick, findings: Vec::new() };
    let state = check.header();
    let trailer = find_trailer(&*file, file_bytes);
    let listed = trailer.as_ref().and_then(|trailer| check.footer(trailer));
    let (entries, records_end) = match (listed, &trailer) {
        (Some(listed), Some(trailer)) => {
            (check.listed(listed, trailer.footer_offset), trailer.footer_offset)
        }
        (_, trailer) => check.scanned(trailer.as_ref(), state),
    };
    let findings = check.findings;
    Some(CheckedPack { findings, entries, records_end, is_sealed: trailer.is_some() })
}

fn find_trailer(file: &dyn DiskFile, file_bytes: u64) -> Option<Trailer> {
    let mut bytes = [0; TRAILER_BYTES];
    file.read_exact_at(&mut bytes, file_bytes.checked_sub(TRAILER_BYTES as u64)?).ok()?;
    Trailer::decode(&bytes, file_bytes).ok()
}

fn unreadable(error: &io::Error) -> String {
    format!("it cannot be read: {error}")
}

/// A pack that is being looked at.
struct Check<'a> {
    file: &'a dyn DiskFile,
    /// Relative to the store.
    name: PathBuf,
    file_bytes: u64,
    tick: Tick<'a>,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn find(&mut self, part: Part, offset: u64, detail: impl ToString) {
        self.findings.push(Finding::new(part, &self.name, offset, detail));
    }

    fn find_object(&mut self, entry: &PackEntry, detail: impl ToString) {
        let offset = u64::from(entry.offset);
        let finding = Finding::new(Part::Object, &self.name, offset, detail);
        self.findings.push(finding.of_object(entry.id));
    }

    /// What the header tells, if it is whole.
    fn header(&mut self) -> Option<PackState> {
        let mut header = [0; HEADER_BYTES];
        // A shorter file is what a writer leaves that died when it had made it.
        if self.file_bytes < HEADER_BYTES as u64 {
            return None;
        }
        let detail = match self.file.read_exact_at(&mut header, 0) {
            Err(error) => unreadable(&error),
            Ok(()) => match decode_header(&header) {
                Ok(state) => return Some(state),
                Err(error) => error.to_string(),
            },
        };
        self.find(Part::PackHeader, 0, detail);
        None
    }

    /// What the footer lists, if all of it can be used.
    fn footer(&mut self, trailer: &Trailer) -> Option<Vec<PackEntry>> {
        let at = trailer.footer_offset;
        let mut bytes = vec![0; FANOUT_BYTES];
        let fanout = match self.file.read_exact_at(&mut bytes, at) {
            Err(error) => Err(unreadable(&error)),
            Ok(()) => Fanout::decode(&bytes, trailer).map_err(|error| error.to_string()),
        };
        let fanout = match fanout {
            Ok(fanout) => fanout,
            Err(detail) => {
                self.find(Part::PackIndex, at, detail);
                return None;
            }
        };
        let mut entries = Vec::new();
        let mut is_whole = true;
        for byte in 0..=u8::MAX {
            let range = fanout.bucket(byte);
            let at = trailer.entry_offset(range.start);
            bytes.resize(range.len() * ENTRY_BYTES, 0);
            let bucket = match self.file.read_exact_at(&mut bytes, at) {
                Err(error) => Err(unreadable(&error)),
                Ok(()) => fanout.decode_bucket(byte, &bytes).map_err(|error| error.to_string()),
            };
            match bucket {
                Ok(mut bucket) => entries.append(&mut bucket),
                Err(detail) => {
                    self.find(Part::PackIndex, at, detail);
                    is_whole = false;
                }
            }
        }
        entries.sort_unstable_by_key(|entry| entry.offset);
        is_whole.then_some(entries)
    }

    /// Reads every record that is listed.
    fn listed(&mut self, entries: Vec<PackEntry>, limit: u64) -> Vec<(PackEntry, bool)> {
        let mut window = Window::new(self.file, limit);
        let mut record = Vec::new();
        let mut looked = Vec::with_capacity(entries.len());
        let (mut objects, mut bytes) = (0, 0);
        for entry in entries {
            let detail = self.record(&mut window, &mut record, &entry);
            if let Some(detail) = &detail {
                self.find_object(&entry, detail);
            }
            looked.push((entry, detail.is_none()));
            objects += 1;
            bytes += entry.record_bytes() as u64;
            if bytes >= TICK_BYTES {
                (self.tick)(std::mem::take(&mut objects), std::mem::take(&mut bytes));
            }
        }
        (self.tick)(objects, bytes);
        looked
    }

    /// What is wrong with a record, if anything is.
    fn record(
        &self,
        window: &mut Window<'_>,
        record: &mut Vec<u8>,
        entry: &PackEntry,
    ) -> Option<String> {
        let (at, len) = (u64::from(entry.offset), entry.record_bytes());
        match window.get(at, len) {
            Ok(Some(bytes)) => return record_fault(entry, bytes),
            Ok(None) => return Some("the record is cut short".to_owned()),
            Err(_) => {}
        }
        // What cannot be read may be anywhere in the window: only what lies in this record counts.
        record.resize(len, 0);
        match self.file.read_exact_at(record, at) {
            Ok(()) => record_fault(entry, record),
            Err(error) => Some(unreadable(&error)),
        }
    }

    /// Looks for records, up to the footer if it is known where that begins. `state` is what the
    /// header tells.
    fn scanned(
        &mut self,
        trailer: Option<&Trailer>,
        state: Option<PackState>,
    ) -> (Vec<(PackEntry, bool)>, u64) {
        let limit = trailer.map_or(self.file_bytes, |trailer| trailer.footer_offset);
        let Scan { entries, damaged, end, failure, .. } = scan(self.file, 0, limit);
        let mut found: Vec<(PackEntry, bool)> = self.listed(entries, limit);
        for entry in damaged {
            self.find_object(&entry, "the checksum of its bytes does not match");
            found.push((entry, false));
        }
        found.sort_unstable_by_key(|(entry, _)| entry.offset);
        let mut at = HEADER_BYTES as u64;
        for (entry, _) in &found {
            if u64::from(entry.offset) > at {
                self.find(Part::Object, at, "there is no record here, but whole ones follow");
            }
            at = u64::from(entry.offset) + entry.record_bytes() as u64;
        }
        if let Some(error) = failure {
            self.find(Part::Object, end, unreadable(&error));
            return (found, end);
        }
        if let Some(trailer) = trailer {
            if end < trailer.footer_offset {
                self.last_record(end, &mut found);
            }
            return (found, trailer.footer_offset);
        }
        let is_lost = state == Some(PackState::Sealed);
        let lost = is_lost.then_some((end, "the footer is lost that was here"));
        if let Some((at, detail)) = self.tail_fault(end, &found).or(lost) {
            self.find(Part::PackIndex, at, detail);
        }
        (found, end)
    }

    /// What lies between the last whole record and a footer.
    fn last_record(&mut self, at: u64, found: &mut Vec<(PackEntry, bool)>) {
        let mut header = [0; RECORD_HEADER_BYTES];
        let header = self.file.read_exact_at(&mut header, at).ok().map(|()| header);
        let header = header.and_then(|bytes| RecordHeader::decode(&bytes).ok());
        match (header, u32::try_from(at)) {
            (Some(header), Ok(offset)) => {
                let RecordHeader { kind, codec, stored_bytes, raw_bytes, id, .. } = header;
                let entry = PackEntry { id, offset, stored_bytes, raw_bytes, kind, codec };
                self.find_object(&entry, "the checksum of its bytes does not match");
                found.push((entry, false));
            }
            _ => self.find(Part::Object, at, "there is no record here, but the footer follows"),
        }
    }

    /// Where the footer is damaged, if what follows the records has been one.
    fn tail_fault(&self, end: u64, found: &[(PackEntry, bool)]) -> Option<(u64, &'static str)> {
        let mut entries: Vec<PackEntry> = found.iter().map(|(entry, _)| *entry).collect();
        entries.sort_unstable_by_key(|entry| (entry.id, std::cmp::Reverse(entry.offset)));
        entries.dedup_by_key(|entry| entry.id);
        let footer = encode_footer(&entries, end).bytes;
        // One byte more than a footer has. A file may be shorter than the header of a pack.
        let len = self.file_bytes.saturating_sub(end).min(footer.len() as u64 + 1) as usize;
        let mut tail = vec![0; len];
        if self.file.read_exact_at(&mut tail, end).is_err() {
            return Some((end, "the footer cannot be read"));
        }
        let is_left_by_a_writer = footer.starts_with(&tail)
            || tail.starts_with(&RECORD_MAGIC[..len.min(RECORD_MAGIC.len())])
            || tail.iter().all(|byte| *byte == 0);
        if is_left_by_a_writer {
            return None;
        }
        let same = tail.iter().zip(&footer).take_while(|(a, b)| a == b).count();
        let at = if tail.len() == footer.len() { end + same as u64 } else { end };
        Some((at, "the footer is damaged, and so does not count"))
    }
}

fn record_fault(entry: &PackEntry, record: &[u8]) -> Option<String> {
    let payload = record.get(RECORD_HEADER_BYTES..).unwrap_or_default();
    let check = || {
        RecordHeader::decode(record)?.check_payload(payload)?;
        decode_record(entry, record).map(drop)
    };
    check().err().map(|error| error.to_string())
}
