//! Layer 1: the plain values that everything else speaks of. No I/O, no encoding, no locks.

mod commit;
mod config;
mod deed;
mod duration;
mod entry;
mod id;
mod name;
mod object;
mod op;
mod time;
mod writer;
mod xattr;

pub use commit::Commit;
pub use config::{AutoCommit, CONFIG_OFF, Config, ConfigError, ConfigKey, Retention};
pub use deed::{Deed, DeedKind};
pub use duration::{DurationError, duration_text, parse_duration};
pub use entry::{Content, Entry, EntryBody, EntryXattrs, FileKind, Meta};
pub use id::{ChunkId, CommitId, IdParseError, IdPrefix, NodeId, ObjectId, RootId, XattrsId};
pub use name::{Name, NameError};
pub use object::{ObjectError, ObjectKind, ObjectSink, ObjectSource};
pub use op::{Ino, NewNode, Op, RenameMode, SetAttr};
pub use time::{BirthTime, MaybeTime, Timestamp};
pub use writer::Writer;
pub use xattr::Xattrs;
