//! Telling the kernel what changed behind its back.
//!
//! The messages are sent by a thread of their own, which holds no lock; the one who changed
//! something waits for it. Other threads must be there to answer what the kernel asks meanwhile.

use std::io;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use fuser::{INodeNo, Notifier};

use crate::model::{Ino, Name};
use crate::vfs::Notify;

enum Message {
    Entry(Ino, Name),
    Inode(Ino),
    Attributes(Ino),
    /// All that came before has been sent.
    Done(Sender<()>),
}

/// Sends notifications to the kernel.
pub(super) struct KernelNotify {
    messages: Sender<Message>,
}

impl KernelNotify {
    /// Begins a thread that sends.
    pub(super) fn start(notifier: Notifier) -> io::Result<Self> {
        let (messages, receiver) = unbounded();
        std::thread::Builder::new()
            .name("notify".into())
            .spawn(move || send_all(&notifier, &receiver))?;
        Ok(Self { messages })
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
            // From a negative place on, there is no content to forget.
            Message::Attributes(ino) => notifier.inval_inode(INodeNo(ino.0), -1, 0),
            Message::Done(done) => {
                let _ = done.send(());
                Ok(())
            }
        };
        match sent {
            // The kernel does not know it, so it believes nothing wrong.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => log::warn!("a notification of the kernel failed: {error}"),
            Ok(()) => {}
        }
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
        self.send(Message::Attributes(ino));
    }

    fn flush(&self) {
        let (done, wait) = bounded(1);
        self.send(Message::Done(done));
        let _ = wait.recv();
    }
}
