//! Telling the kernel what changed behind its back.
//!
//! What the kernel needs a lock for is sent by a thread of its own, which holds no lock; the one who
//! changed something waits for it. Other threads must be there to answer what the kernel asks
//! meanwhile: requests may hold the very locks that the thread waits for. So nobody waits for the
//! thread but who has restored, and one restore comes after another, since the kernel hands on one
//! write to a control file at a time. What the kernel takes note of without a lock is sent at once.

use std::io;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use fuser::{INodeNo, Notifier};

use crate::model::{Ino, Name};
use crate::vfs::Notify;

enum Message {
    Entry(Ino, Name),
    Inode(Ino),
    /// All that came before has been sent.
    Done(Sender<()>),
}

/// Sends notifications to the kernel.
pub(super) struct KernelNotify {
    notifier: Notifier,
    messages: Sender<Message>,
}

impl KernelNotify {
    /// Begins a thread that sends.
    pub(super) fn start(notifier: Notifier) -> io::Result<Self> {
        let (messages, receiver) = unbounded();
        let sender = notifier.clone();
        std::thread::Builder::new()
            .name("notify".into())
            .spawn(move || send_all(&sender, &receiver))?;
        Ok(Self { notifier, messages })
    }

    fn send(&self, message: Message) {
        // The thread ends with the daemon only.
        let _ = self.messages.send(message);
    }
}

fn send_all(notifier: &Notifier, receiver: &Receiver<Message>) {
    for message in receiver {
        let sent = match message {
            Message::Entry(parent, name) => {
                notifier.inval_entry(INodeNo(parent.0), name.as_os_str())
            }
            Message::Inode(ino) => notifier.inval_inode(INodeNo(ino.0), 0, 0),
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
        check(self.notifier.inval_inode(INodeNo(ino.0), -1, 0));
    }

    fn flush(&self) {
        let (done, wait) = bounded(1);
        self.send(Message::Done(done));
        let _ = wait.recv();
    }
}
