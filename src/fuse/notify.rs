//! Telling the kernel what changed behind its back.
//!
//! What the kernel needs a lock for is sent by a thread of its own, which holds no lock; the one
//! who changed something waits for it. Other threads must be there to answer what the kernel asks
//! meanwhile: requests may hold the very locks that the thread waits for. So nobody waits for the
//! thread but who has restored or taken back, and of each of both there is one at a time, since the
//! kernel hands on one write to a control file at a time. What the kernel takes note of without a
//! lock is sent at once.

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use fuser::{INodeNo, Notifier};

use crate::model::{Ino, Name};
use crate::vfs::Notify;

/// The way to the kernel.
pub(super) trait Channel: Send + Sync + 'static {
    /// A name in a directory is not what it was.
    fn inval_entry(&self, parent: Ino, name: &Name) -> io::Result<()>;
    /// Attributes of an inode are not what they were, nor is its content from a place on. From a
    /// negative place on, there is no content.
    fn inval_inode(&self, ino: Ino, from: i64) -> io::Result<()>;
}

impl Channel for Notifier {
    fn inval_entry(&self, parent: Ino, name: &Name) -> io::Result<()> {
        self.inval_entry(INodeNo(parent.0), name.as_os_str())
    }

    fn inval_inode(&self, ino: Ino, from: i64) -> io::Result<()> {
        self.inval_inode(INodeNo(ino.0), from, 0)
    }
}

enum Message {
    Entry(Ino, Name),
    Inode(Ino),
    /// All that came before has been sent.
    Done(Sender<()>),
}

/// Sends notifications to the kernel.
pub(super) struct KernelNotify {
    channel: Arc<dyn Channel>,
    messages: Sender<Message>,
}

impl KernelNotify {
    /// Begins a thread that sends.
    pub(super) fn start(channel: Arc<dyn Channel>) -> io::Result<Self> {
        let (messages, receiver) = unbounded();
        let sender = Arc::clone(&channel);
        std::thread::Builder::new()
            .name("notify".into())
            .spawn(move || send_all(&*sender, &receiver))?;
        Ok(Self { channel, messages })
    }

    fn send(&self, message: Message) {
        // The thread ends with the daemon only.
        let _ = self.messages.send(message);
    }
}

fn send_all(channel: &dyn Channel, receiver: &Receiver<Message>) {
    for message in receiver {
        let sent = match message {
            Message::Entry(parent, name) => channel.inval_entry(parent, &name),
            Message::Inode(ino) => channel.inval_inode(ino, 0),
            Message::Done(done) => {
                let _ = done.send(());
                Ok(())
            }
        };
        check(sent);
    }
}

fn check(sent: io::Result<()>) {
    match sent {
        // The kernel does not know it, so it believes nothing wrong.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
        Err(error) => log::warn!("a notification of the kernel failed: {error}"),
        Ok(()) => {}
    }
}

impl Notify for KernelNotify {
    fn entry_changed(&self, parent: Ino, name: &Name) {
        self.send(Message::Entry(parent, name.clone()));
    }

    fn inode_changed(&self, ino: Ino) {
        self.send(Message::Inode(ino));
    }

    fn attributes_changed(&self, ino: Ino) {
        // From a negative place on, there is no content to forget.
        check(self.channel.inval_inode(ino, -1));
    }

    fn flush(&self) {
        let (done, wait) = bounded(1);
        self.send(Message::Done(done));
        let _ = wait.recv();
    }
}
