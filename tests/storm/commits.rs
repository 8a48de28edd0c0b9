//! Asking for commits, in all the ways that the mount has.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, XattrFlags};

use super::random::Random;
use super::round::{Commit, Round};

/// How a commit is asked for.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// `setxattr`, which makes a commit if something changed.
    Xattr,
    /// `setxattr`, which always makes one.
    XattrAlways,
    /// `touch .vst/commit`.
    Touch,
    /// `echo message > .vst/commit`.
    Echo,
    /// The same through a handle that then tells the id.
    Handle,
}

const WAYS: [Way; 5] = [Way::Xattr, Way::XattrAlways, Way::Touch, Way::Echo, Way::Handle];

/// Asks for a commit with a message that no other has, and notes it once it is acknowledged.
/// Returns its id where the call tells it.
pub(crate) fn commit(
    round: &Round,
    random: &mut Random,
    message: &str,
) -> io::Result<Option<String>> {
    let way = *random.pick(&WAYS).expect("there are some");
    let message = if matches!(way, Way::Touch) { "" } else { message };
    round.ask_for_commit(message);
    let before = round.acknowledged();
    let handle = ask(&round.top, way, message)?;
    let after = round.begun();
    let mut commit = Commit {
        message: message.to_owned(),
        id: None,
        top: None,
        always: matches!(way, Way::XattrAlways),
        before,
        after,
    };
    // It is made, whether the daemon lives to tell more of it or not.
    let told = handle.map(|handle| look_at(&round.top, &handle, random, &mut commit));
    let id = commit.id.clone();
    round.committed_now(commit);
    told.transpose().map(|_| id)
}

fn ask(top: &Path, way: Way, message: &str) -> io::Result<Option<File>> {
    let xattr = |flags| rustix::fs::setxattr(top, "user.vst.commit", message.as_bytes(), flags);
    let path = top.join(".vst/commit");
    match way {
        Way::Xattr => xattr(XattrFlags::empty())?,
        Way::XattrAlways => xattr(XattrFlags::CREATE)?,
        Way::Touch => {
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let times = Timestamps { last_access: now, last_modification: now };
            rustix::fs::utimensat(CWD, &path, &times, AtFlags::empty())?;
        }
        Way::Echo => {
            let mut file = File::options().write(true).truncate(true).open(&path)?;
            file.write_all(format!("{message}\n").as_bytes())?;
        }
        Way::Handle => {
            let mut file = File::options().read(true).write(true).open(&path)?;
            file.write_all(message.as_bytes())?;
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Learns the id from the handle that made the commit, and now and then that of its tree.
fn look_at(top: &Path, handle: &File, random: &mut Random, commit: &mut Commit) -> io::Result<()> {
    let mut text = [0; 80];
    let len = handle.read_at(&mut text, 0)?;
    let id = String::from_utf8_lossy(&text[..len]).trim().to_owned();
    if id.len() != 64 {
        return Err(io::Error::other(format!("the handle of a commit reads {id:?}")));
    }
    if random.once_in(4) {
        commit.top = Some(tree_id(top, &id)?);
    }
    commit.id = Some(id);
    Ok(())
}

/// The id of what a snapshot's top directory holds.
pub(crate) fn tree_id(top: &Path, id: &str) -> io::Result<String> {
    let mut value = [0; 80];
    let len = rustix::fs::getxattr(top.join(".snapshots").join(id), "user.vst.id", &mut value[..])?;
    Ok(String::from_utf8_lossy(&value[..len]).into_owned())
}
