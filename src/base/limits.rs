//! Every bound of the system, by name. Units come last in a name.

use std::time::Duration;

/// Longest name of a directory entry.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest target of a symbolic link (Linux's `PATH_MAX` without its NUL).
pub const SYMLINK_BYTES_MAX: usize = 4095;
/// Largest number of an inode: above any that counting from 1 can reach, and far from where
/// arithmetic overflows.
pub const INO_MAX: u64 = (1 << 62) - 1;
/// Largest file, as the kernel's signed offsets allow.
pub const FILE_BYTES_MAX: u64 = i64::MAX as u64;
/// Largest value of one extended attribute (Linux's `XATTR_SIZE_MAX`).
pub const XATTR_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Longest name of an extended attribute (Linux's `XATTR_NAME_MAX`).
pub const XATTR_NAME_BYTES_MAX: usize = 255;
/// All extended attributes of an inode, encoded.
pub const XATTRS_BYTES_MAX: usize = 1024 * 1024;
/// Extended attributes up to this size, encoded, lie in the entry itself; larger ones in an
/// object of their own.
pub const XATTRS_INLINE_BYTES_MAX: usize = 256;
/// Most names that one file can have. They are listed in one value of a tree, which bounds them
/// together with their length: 8000 names of 255 bytes take 2.4 MB.
pub const LINKS_MAX: usize = 8_000;
/// Largest file of rules for what is ignored; a larger one holds none.
pub const RULES_BYTES_MAX: u64 = 1024 * 1024;
/// Files whose rules are kept ready.
pub const RULES_CACHED_MAX: usize = 1024;
/// Directories of which is kept ready what rules hold in them. A snapshot that is taken has the
/// next change of it copy all, so there are few.
pub const RULES_CHAINS_MAX: usize = 64;
/// Entries that are looked at in one go, while others wait, to find out which of them are ignored.
/// To pass one from one tree to the other takes some ten microseconds.
pub const SORT_STEP_ENTRIES_MAX: usize = 256;
/// Longest message of a commit.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Longest author of a commit.
pub const AUTHOR_BYTES_MAX: usize = 1024;
/// Most deeds that the operation log of a worktree has; older ones are dropped.
pub const DEEDS_MAX: usize = 1024;
/// So many deeds of an operation log are put into an object of their own.
pub const DEEDS_PER_BLOCK: usize = 32;
/// Longest name of a process that is kept: what the kernel lets any have, some of its own apart.
pub const WRITER_NAME_BYTES_MAX: usize = 64;
/// In so many parts, by their numbers, names of processes are kept at hand.
pub const WRITERS_AT_HAND_PARTS: usize = 8;
/// Most processes of one part.
pub const WRITERS_AT_HAND_MAX: usize = 8;
/// How long the name of a process is taken to be what it was. Asking the kernel again costs 1 µs,
/// so one who writes all the time pays half a hundredth for it, and a program that is started in
/// the place of another one hardly comes to write anything as soon as that.
pub const WRITER_FRESH: Duration = Duration::from_micros(200);
/// Longest path of which it is kept who changed it (Linux's `PATH_MAX`).
pub const PROVENANCE_PATH_BYTES_MAX: usize = 4096;
/// From this size on a block of provenance is ended and the next one begun.
pub const PROVENANCE_BLOCK_BYTES: usize = 256 * 1024;
/// Most blocks that tell of one commit; the oldest are forgotten.
pub const PROVENANCE_BLOCKS_MAX: u64 = 64 * 1024;
/// Most blocks that one block follows directly.
pub const PROVENANCE_HEADS_MAX: usize = 8;
/// Most parents of a commit.
pub const PARENTS_MAX: usize = 16;

/// Smallest content-defined chunk, but for the last one of a file. Even, as the chunker wants.
pub const CHUNK_BYTES_MIN: usize = 16 * 1024;
/// Size that content-defined chunks aim at.
pub const CHUNK_BYTES_AVG: usize = 64 * 1024;
/// Largest content-defined chunk.
pub const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// Most items in one node of a tree: twice the average, since items are more often met in a large
/// node than in a small one.
pub const NODE_ITEMS_MAX: usize = 16;
/// One item in `1 << NODE_FANOUT_LOG2` ends a node of a tree. Measured: a commit of one file in a
/// million takes a tenth longer with 4, for the bytes that it hashes, and with 2, for the nodes.
pub const NODE_FANOUT_LOG2: u32 = 3;
/// Highest tree: a key whose hash is zero ends a node of every height below this one.
pub const TREE_HEIGHT_MAX: usize = (u64::BITS / NODE_FANOUT_LOG2) as usize;
/// A leaf that has grown to this size ends whatever its last key is. Entries of directories stay
/// far below it, so that the nodes of a directory depend on its names alone.
pub const LEAF_BYTES_CLOSE: usize = 1024 * 1024;
/// Largest encoded node.
pub const NODE_BYTES_MAX: usize = OBJECT_BYTES_MAX;
/// Largest object of any kind.
pub const OBJECT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most bytes of new content that cutting a file holds at a time.
pub const CUT_WINDOW_BYTES_MAX: usize = 4 * CHUNK_BYTES_MAX;
/// A write of at least this size becomes a dirty extent as it is; shorter ones are gathered.
pub const EXTENT_BYTES_GATHER_MAX: usize = 32 * 1024;
/// Largest dirty extent that is gathered from writes.
pub const EXTENT_BYTES_GATHERED_MAX: usize = 128 * 1024;
/// A dirty extent keeps a buffer of at most this many times its own bytes alive.
pub const EXTENT_WASTE_MAX: usize = 4;
/// Deepest directory that is followed upward from its number alone, so that a damaged table of
/// places cannot lead in a circle.
pub const TREE_DEPTH_MAX: usize = 1 << 20;

/// What is fetched from a disk for a small read, of at most a quarter of it: the block of this size
/// that it lies in.
pub const FETCH_BYTES: usize = 128 * 1024;
/// A pack is sealed, and a new one begun, when it has grown to this size.
pub const PACK_BYTES_TARGET: u64 = 64 * 1024 * 1024;
/// Largest pack file that is read: its index has 32-bit offsets.
pub const PACK_BYTES_MAX: u64 = u32::MAX as u64;
/// New objects gather in memory up to this size, then go to the open pack in one write.
pub const PACK_BUFFER_BYTES: usize = 1024 * 1024;
/// Most pack files that are kept open for reading.
pub const PACK_FILES_OPEN_MAX: usize = 256;
/// Objects below this size are stored as they are: compressing one of 1 KiB costs 8 µs, most of
/// it however short it is, and keeping it 1 µs.
pub const COMPRESS_BYTES_MIN: usize = 2 * 1024;
/// As that, for objects that have stayed until a collection copies them.
pub const RECOMPRESS_BYTES_MIN: usize = 128;
/// Packs may take so many percent of what was live at the last collection, before the next one is
/// made in the background,
pub const SPACE_LIVE_PERCENT_MAX: u64 = 150;
/// and so many bytes more.
pub const SPACE_SLACK_BYTES: u64 = 256 * 1024 * 1024;
/// How long rules of what is kept are left alone after they were changed, so that several can be
/// set one after the other, and after they were applied.
pub const RETENTION_DELAY: Duration = Duration::from_secs(10 * 60);
/// And at least so many times as long as applying them took.
pub const RETENTION_WORK_PART: u32 = 20;
/// Room that is kept for a collection on a full disk: what it writes before it removes anything.
pub const SPACE_RESERVE_BYTES: u64 = 4 * 1024 * 1024;
/// A pack is rewritten when less than so many percent of it are live.
pub const PACK_LIVE_PERCENT_MIN: u64 = 70;
/// Packs smaller than this part of what they are to grow to are small.
pub const PACK_SMALL_PART: u64 = 4;
/// More small packs than that are merged into one: a look into the store meets all of them.
pub const PACKS_SMALL_MAX: usize = 8;
/// Decompressed objects that are kept in memory, unless told otherwise.
pub const OBJECT_CACHE_BYTES: usize = 64 * 1024 * 1024;
/// Longest name of a ref, slashes included.
pub const REF_NAME_BYTES_MAX: usize = 1024;
/// Most parts of a ref's name.
pub const REF_NAME_PARTS_MAX: usize = 16;
/// The process id in a lock file, with some room.
pub const LOCK_BYTES_MAX: usize = 64;
/// Longest `format` file that is looked at.
pub const FORMAT_FILE_BYTES_MAX: usize = 256;
/// Settled files stay listed among the dirty ones until there are this many.
pub const SETTLED_LISTED_MIN: usize = 32;
/// How often an operation is tried again after what it needs was read, before it waits for the
/// disk under the lock.
pub const LOAD_RETRIES_MAX: usize = 256;
/// File content that is in memory only, unless told otherwise. Whoever writes more waits until it
/// is in the store.
pub const DIRTY_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Less than that cannot be asked for.
pub const DIRTY_BYTES_MAX_MIN: u64 = 1024 * 1024;
/// From so much of its bound on, dirty content and the journal are brought into the store in the
/// background.
pub const BACKGROUND_PART: u64 = 4;
/// Most files whose contents are let go of at a time, while nobody can look at the tree.
pub const PUBLISH_FILES_LOCKED_MAX: usize = 1024;
/// Most commits that wait to be brought into the store. Whoever makes more waits for them.
pub const UNWRITTEN_COMMITS_MAX: u64 = 4096;
/// How long the thread that brings commits into the store waits for more to come.
pub const WRITE_DELAY: Duration = Duration::from_millis(10);
/// Most files that wait to be hashed ahead of a commit; others are left to it.
pub const SETTLE_BACKLOG_MAX: usize = 64 * 1024;
/// How long the thread that works ahead of commits waits for more to come.
pub const SETTLE_DELAY: Duration = Duration::from_millis(2);
/// Most files that are hashed and settled before the next ones: their entries are written while
/// nobody else can look at the tree, and what belongs to them should stay in a near cache.
pub const SETTLE_FILES_LOCKED_MAX: usize = 64;
/// Fewest hex digits that name a commit on the command line.
pub const REVISION_PREFIX_DIGITS_MIN: usize = 4;
/// Fewest hex digits that name a commit in a path of the mount.
pub const SNAPSHOT_PREFIX_DIGITS_MIN: usize = 8;
/// Most commits that the control file `log` lists.
pub const LOG_LINES_MAX: usize = 10_000;
/// How often a restore is prepared beside those who write. If they change the tree meanwhile each
/// time, they wait for the next one.
pub const RESTORE_TRIES_MAX: usize = 3;
/// Fewest threads that answer requests: a restore and an undo may wait at once until the kernel has
/// taken note, which it may do only after an answer from somebody else.
pub const FUSE_THREADS_MIN: usize = 3;
/// Most requests of one CPU that are being answered at a time, on a ring.
pub const RING_SLOTS_MAX: usize = 8;
/// Fewest, on a machine of many CPUs. Two of them may wait for others: of one who restores, and of
/// one who takes back.
pub const RING_SLOTS_MIN: usize = 4;
/// So much room for requests and answers is enough for all rings, where the bounds above allow it.
pub const RING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How often a thread that answers requests looks how long it waits for its CPU.
pub const POLICY_REVIEW_INTERVAL: Duration = Duration::from_millis(10);
/// On a CPU where it waits no longer than this for a turn, on average, it gives way to everybody: a
/// hundredth of it is common there, several times as much where others keep the CPU busy.
pub const CPU_WAIT_MEAN_MAX: Duration = Duration::from_micros(200);
/// For so long it does not give way on a CPU that was busy.
pub const CPU_CROWD_MIN: Duration = Duration::from_millis(400);
/// The same, for a CPU that was busy again and again.
pub const CPU_CROWD_MAX: Duration = Duration::from_secs(8);
/// Threads that do what a ring's own thread would have to wait for.
pub const RING_POOL_THREADS: usize = 8;
/// Requests of which it is remembered that a signal came while they were on their way.
pub const RING_SIGNALS_MAX: usize = 64;
/// How long the thread that is told by the device what the kernel has forgotten listens to nothing
/// after it was told, so that more comes at a time. A signal to one whose request goes on, and the end
/// of the mount, are heard as much later.
pub const RING_FORGET_PAUSE: Duration = Duration::from_millis(2);
/// A request with more beside its headers is a long one, which takes a tenth of a millisecond and
/// more.
pub const RING_PAYLOAD_BYTES_SHORT: u32 = 128 * 1024;
/// Most files that a commit hashes, or content in memory that it looks at, in bytes, where it must
/// not take long.
pub const SWIFT_COMMIT_FILES_MAX: usize = 256;
/// The same.
pub const SWIFT_COMMIT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most numbers of CPUs that are believed.
pub const RING_CPUS_MAX: usize = 4096;
/// Largest write that the kernel sends in one request.
pub const WRITE_BYTES_MAX: u32 = 1024 * 1024;
/// How far the kernel reads ahead of one who reads a file from its beginning on.
pub const READAHEAD_BYTES: u32 = 1024 * 1024;
/// A list of states of the worktree that is longer is cut down when the store is opened.
pub const STATE_LOG_BYTES_MAX: u64 = 1024 * 1024;

/// Smallest segment of the journal: any record fits.
pub const JOURNAL_SEGMENT_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// Largest segment of the journal. A segment is as large as what was written since the last
/// checkpoint, so that a journal that is used little takes little room.
pub const JOURNAL_SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Room for operations that make room on a full disk.
pub const JOURNAL_RESERVE_BYTES: u64 = 2 * 1024 * 1024;
/// A byte of the journal becomes so many in the store at most, as a rule: a new file of a few
/// bytes takes more there. So much room is left on the disk for a checkpoint.
pub const JOURNAL_STORED_FACTOR: u64 = 2;
/// Room that a record may need beside its payload: the fields of the operations that are done
/// together, two extended attributes of the largest size among them.
pub const JOURNAL_RECORD_ROOM_BYTES: u64 = 256 * 1024;
/// Payloads up to this size are written together with their record; larger ones without the lock
/// that orders the operations.
pub const JOURNAL_PAYLOAD_BYTES_INLINE: usize = 16 * 1024;
/// Most bytes of a journal, unless told otherwise. Whoever would write more waits for a
/// checkpoint.
pub const JOURNAL_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Less than that cannot be asked for: it is a few segments.
pub const JOURNAL_BYTES_MAX_MIN: u64 = 16 * 1024 * 1024;
/// What replaying a commit costs, in operations.
pub const JOURNAL_COMMIT_COST: u64 = 64;
/// What replaying a deed that leaves the tree as it is costs.
pub const JOURNAL_DEED_COST: u64 = 1;
/// From this cost on, in operations, a checkpoint is made in the background.
pub const JOURNAL_COST_CHECKPOINT: u64 = 256 * 1024;
/// Highest cost of a journal. Whoever would add to it waits for a checkpoint.
pub const JOURNAL_COST_MAX: u64 = 512 * 1024;
/// Longest time that passes until what was done is made durable without being asked for.
pub const JOURNAL_SYNC_INTERVAL: Duration = Duration::from_millis(900);

/// Largest file that is compared with others to find out whether it was renamed and changed.
pub const SIMILAR_FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Most content that is read to find such renames.
pub const SIMILAR_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most pairs of files that are compared for that; where there would be more, only files with the
/// same last name are. That many are those of a thousand files that went and a thousand that came.
pub const SIMILAR_PAIRS_MAX: usize = 1_000_000;
/// How much of a file must be the same for it to be a renamed one, in percent, unless told
/// otherwise.
pub const SIMILARITY_MIN: u8 = 50;
/// Largest file whose lines a patch shows; of larger ones it tells that they differ.
pub const PATCH_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most lines of a file that a patch shows.
pub const PATCH_LINES_MAX: usize = 1_000_000;

/// Entries of a directory of a commit that are read at a time, by one who goes through all of them.
pub const LISTED_ENTRIES_MAX: usize = 1024;
/// Content that is read and written at a time when a plain tree is written.
pub const EXPORT_BUFFER_BYTES: usize = 1024 * 1024;
/// Most things that are named of what was left out of a plain tree.
pub const LEFT_OUT_MAX: usize = 20;

/// Most changes of a commit that are told to one who follows a mount.
pub const WATCHED_CHANGES_MAX: usize = 1000;
/// How often he looks whether something was committed: two system calls, of which the mount sees
/// one.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// Most looks at whether the process behind a mount that went away has closed the store.
pub const WATCH_CLOSE_LOOKS_MAX: usize = 300;

/// Most paths that are named of what is hurt in one commit.
pub const HURT_PATHS_MAX: usize = 20;
/// How often a store that somebody writes to is looked at again, to tell damage from what was on
/// its way.
pub const VERIFY_TRIES_MAX: usize = 4;
