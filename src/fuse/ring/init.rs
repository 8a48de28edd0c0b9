//! How a connection begins: what the kernel offers, and what is taken of it.

use std::io;

use fuser::InitFlags;
use zerocopy::{FromZeros, IntoBytes};

use super::device::{Device, structure_of};
use super::request::Request;
use super::serve::Outcome;
use super::wire::{self, InitIn, InitOut, opcode};
use crate::base::limits::WRITE_BYTES_MAX;
use crate::fuse::settings;

/// What is asked for beside the settings of every mount, since only this transport carries it.
const ASKED: InitFlags = InitFlags::FUSE_OVER_IO_URING
    .union(InitFlags::FUSE_SETXATTR_EXT)
    .union(InitFlags::FUSE_ASYNC_READ)
    .union(InitFlags::FUSE_BIG_WRITES)
    .union(InitFlags::FUSE_MAX_PAGES)
    .union(InitFlags::FUSE_INIT_EXT);
/// What there must be. Without the last, requests would have another form.
const NEEDED: InitFlags = InitFlags::FUSE_OVER_IO_URING.union(InitFlags::FUSE_SETXATTR_EXT);
/// Requests that nobody waits for, such as reading ahead: so many at a time,
const BACKGROUND_MAX: u16 = 16;
/// and with so many the connection is called congested.
const BACKGROUND_CONGESTED: u16 = 12;

/// Agrees with the kernel on how they speak. Tells whether it offers rings; without them nothing
/// has been agreed on.
pub(super) fn agree(device: &Device) -> io::Result<bool> {
    let mut buffer = Device::buffer();
    loop {
        let message = device.receive(&mut buffer, None)?.ok_or(io::ErrorKind::NotConnected)?;
        let request = Request::from_message(message);
        let offer = structure_of::<InitIn>(message);
        let (Some(request), Some(offer)) = (request, offer) else {
            return Err(io::Error::other("the kernel began with what is no request"));
        };
        if request.header.opcode != opcode::INIT {
            return Err(io::Error::other("the kernel did not begin with an offer"));
        }
        let answer = if offer.major > wire::MAJOR {
            // It asks again, in the version that it is told.
            InitOut { major: wire::MAJOR, minor: wire::MINOR, ..InitOut::new_zeroed() }
        } else {
            match take(&offer, rustix::param::page_size()) {
                Some(taken) => taken,
                None => return Ok(false),
            }
        };
        device.reply(request.header.unique, Outcome::Done, answer.as_bytes())?;
        if offer.major <= wire::MAJOR {
            return Ok(true);
        }
    }
}

/// What is taken of an offer; `None` if it has no rings.
fn take(offer: &InitIn, page_bytes: usize) -> Option<InitOut> {
    if offer.major < wire::MAJOR || offer.minor < wire::MINOR_WITH_RINGS {
        return None;
    }
    let offered = u64::from(offer.flags) | u64::from(offer.flags2) << 32;
    let offered = InitFlags::from_bits_retain(offered);
    if !offered.contains(NEEDED) {
        return None;
    }
    let taken = (offered & (ASKED | settings::wanted())).bits();
    let pages = (WRITE_BYTES_MAX as usize).div_ceil(page_bytes);
    Some(InitOut {
        major: wire::MAJOR,
        minor: wire::MINOR.min(offer.minor),
        max_readahead: WRITE_BYTES_MAX.min(offer.max_readahead),
        // The lower half and the upper one.
        flags: taken as u32,
        flags2: (taken >> 32) as u32,
        max_background: BACKGROUND_MAX,
        congestion_threshold: BACKGROUND_CONGESTED,
        max_write: WRITE_BYTES_MAX,
        time_gran: 1,
        max_pages: u16::try_from(pages).ok()?,
        ..InitOut::new_zeroed()
    })
}

#[cfg(test)]
mod tests {
    use fuser::InitFlags;
    use zerocopy::FromZeros;

    use super::{NEEDED, take};
    use crate::fuse::ring::wire::InitIn;

    fn offer(flags: InitFlags) -> InitIn {
        let bits = flags.bits();
        InitIn {
            major: 7,
            minor: 60,
            max_readahead: 4096,
            flags: bits as u32,
            flags2: (bits >> 32) as u32,
            ..InitIn::new_zeroed()
        }
    }

    #[test]
    fn no_more_is_taken_than_is_offered_and_wanted() {
        let flags = NEEDED | InitFlags::FUSE_INIT_EXT | InitFlags::FUSE_POSIX_ACL;
        let unwanted = InitFlags::FUSE_WRITEBACK_CACHE | InitFlags::FUSE_ATOMIC_O_TRUNC;
        let taken = take(&offer(flags | unwanted), 4096).unwrap();
        assert_eq!(u64::from(taken.flags) | u64::from(taken.flags2) << 32, flags.bits());
        assert_eq!((taken.major, taken.minor, taken.max_pages), (7, 45, 256));
        assert_eq!((taken.max_readahead, taken.max_write), (4096, 1 << 20));
    }

    #[test]
    fn an_offer_without_rings_is_not_taken() {
        assert_eq!(take(&offer(InitFlags::all() - InitFlags::FUSE_OVER_IO_URING), 4096), None);
        assert_eq!(take(&InitIn { minor: 41, ..offer(InitFlags::all()) }, 4096), None);
    }
}
