//! Requests as the kernel sends them, taken apart. Nothing is believed of a length that has not
//! been checked: a request that is too short for its kind is answered with EIO.

use rustix::io::Errno;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::wire::{self, InHeader};
use crate::vfs::{Answer, Caller};

/// A request.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) header: InHeader,
    /// Begins with the structure of its kind.
    structure: &'a [u8],
    /// What follows that.
    pub(super) payload: &'a [u8],
}

impl<'a> Request<'a> {
    /// One that came as a whole; `None` if there is not even a header.
    pub(super) fn from_message(message: &'a [u8]) -> Option<Self> {
        let (header, body) = InHeader::read_from_prefix(message).ok()?;
        let len = wire::structure_bytes(header.opcode).min(body.len());
        let (structure, payload) = body.split_at(len);
        Some(Self { header, structure, payload })
    }

    /// One that came in parts.
    pub(super) fn from_parts(header: InHeader, structure: &'a [u8], payload: &'a [u8]) -> Self {
        Self { header, structure, payload }
    }

    /// The structure of its kind.
    pub(super) fn read<T: FromBytes + KnownLayout + Immutable>(&self) -> Answer<T> {
        T::read_from_prefix(self.structure).map(|(read, _)| read).map_err(|_| Errno::IO)
    }

    /// The names that its payload is, each of which a NUL ends.
    pub(super) fn names<const N: usize>(&self) -> Answer<[&'a [u8]; N]> {
        let mut rest = self.payload;
        let mut names = [&[][..]; N];
        for name in &mut names {
            (*name, rest) = split_name(rest)?;
        }
        Ok(names)
    }

    /// A name, and so many bytes behind it.
    pub(super) fn name_and_value(&self, len: u32) -> Answer<(&'a [u8], &'a [u8])> {
        let (name, rest) = split_name(self.payload)?;
        Ok((name, rest.get(..len as usize).ok_or(Errno::IO)?))
    }

    /// So many bytes.
    pub(super) fn data(&self, len: u32) -> Answer<&'a [u8]> {
        self.payload.get(..len as usize).ok_or(Errno::IO)
    }

    /// Who asks.
    pub(super) fn caller(&self, umask: u32) -> Caller {
        let InHeader { uid, gid, pid, .. } = self.header;
        Caller { uid, gid, pid, umask, keeps_setgid: None }
    }
}

fn split_name(bytes: &[u8]) -> Answer<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0).ok_or(Errno::IO)?;
    Ok((&bytes[..end], &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;
    use zerocopy::{FromZeros, IntoBytes};

    use super::Request;
    use crate::fuse::ring::wire::{InHeader, RenameIn, SetxattrIn, opcode};

    fn header(opcode: u32) -> InHeader {
        InHeader { opcode, unique: 9, nodeid: 1, pid: 3, ..InHeader::new_zeroed() }
    }

    fn message(opcode: u32, rest: &[&[u8]]) -> Vec<u8> {
        [&[header(opcode).as_bytes()], rest].concat().concat()
    }

    #[test]
    fn a_message_is_taken_apart_into_header_structure_and_names() {
        let rename = RenameIn { newdir: 5 };
        let message = message(opcode::RENAME, &[rename.as_bytes(), b"old\0new\0"]);
        let request = Request::from_message(&message).unwrap();
        assert_eq!(request.header, header(opcode::RENAME));
        assert_eq!(request.read::<RenameIn>(), Ok(rename));
        assert_eq!(request.names(), Ok([&b"old"[..], b"new"]));
        assert_eq!(request.caller(0o22).umask, 0o22);
    }

    #[test]
    fn a_request_without_a_structure_is_names_alone() {
        let message = message(opcode::SYMLINK, &[b"name\0target\0"]);
        let request = Request::from_message(&message).unwrap();
        assert_eq!(request.names(), Ok([&b"name"[..], b"target"]));
    }

    #[test]
    fn whatever_is_cut_off_is_an_error() {
        let set = SetxattrIn { size: 5, flags: 0, setxattr_flags: 0, padding: 0 };
        let whole = message(opcode::SETXATTR, &[set.as_bytes(), b"user.x\0value"]);
        for len in 0..whole.len() {
            let Some(request) = Request::from_message(&whole[..len]) else {
                assert!(len < 40);
                continue;
            };
            let read = request.read::<SetxattrIn>();
            let value = read.and_then(|set| request.name_and_value(set.size));
            assert_eq!(value, Err(Errno::IO), "{len} bytes");
        }
        let request = Request::from_message(&whole).unwrap();
        assert_eq!(request.name_and_value(5), Ok((&b"user.x"[..], &b"value"[..])));
        assert_eq!(request.name_and_value(6), Err(Errno::IO));
        assert_eq!(request.names::<2>(), Err(Errno::IO));
        assert_eq!(request.data(u32::MAX), Err(Errno::IO));
    }
}
