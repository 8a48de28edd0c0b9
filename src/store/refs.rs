//! Refs: names that point to objects, and the only things in a store that ever change.
//!
//! A ref is a file under `refs/`, its name the path (`worktrees/main`, `tags/v1`), its bytes as in
//! `format::ref_file`. It is replaced as a whole by a rename. Updates state the value that they
//! expect to find; they are serialised in this process, and the store's lock keeps others away.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::{Durability, StoreError, files};
use crate::base::disk::Disk;
use crate::base::limits;
use crate::base::sync::{Mutex, MutexGuard};
use crate::format::ref_file;
use crate::model::ObjectId;

/// The name of a ref: one to 16 parts with slashes between them, 1024 bytes at most. A part is
/// no longer than a file name, does not begin with a dot, and holds no control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(String);

/// Why a text is no name of a ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefNameError {
    /// Longer than 1024 bytes, or more than 16 parts.
    #[error("the name of a ref is too long")]
    TooLong,
    /// A part is empty, begins with a dot, or is longer than a file name.
    #[error("every part of a ref's name has 1 to 255 bytes and does not begin with a dot")]
    Part,
    /// A control character.
    #[error("the name of a ref holds a control character")]
    Control,
}

impl RefName {
    /// Takes a text as the name of a ref, if it can be one.
    pub fn new(text: &str) -> Result<Self, RefNameError> {
        let parts_max = limits::REF_NAME_PARTS_MAX;
        if text.len() > limits::REF_NAME_BYTES_MAX || text.split('/').count() > parts_max {
            return Err(RefNameError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(RefNameError::Control);
        }
        // Room for the prefix of the temporary file.
        let part_bytes_max = limits::NAME_BYTES_MAX - files::TEMP_PREFIX.len();
        let bad =
            |part: &str| part.is_empty() || part.starts_with('.') || part.len() > part_bytes_max;
        if text.split('/').any(bad) { Err(RefNameError::Part) } else { Ok(Self(text.to_owned())) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RefName {
    type Err = RefNameError;

    fn from_str(text: &str) -> Result<Self, RefNameError> {
        Self::new(text)
    }
}

/// What an update takes for granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Any,
    /// There is no such ref.
    Absent,
    /// It points here.
    Is(ObjectId),
}

/// The refs of a store.
#[derive(Debug)]
pub struct Refs {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    read_only: bool,
    /// Held from reading the expected value to the rename.
    update: Mutex<()>,
}

impl Refs {
    /// The refs in this directory.
    pub(super) fn open(disk: &Arc<dyn Disk>, dir: PathBuf, read_only: bool) -> Self {
        Self { disk: Arc::clone(disk), dir, read_only, update: Mutex::new(()) }
    }

    /// Where a ref points, or `None` if there is no such ref.
    pub fn find(&self, name: &RefName) -> Result<Option<ObjectId>, StoreError> {
        let path = self.path(name);
        // Where the name of a ref goes on below it there is a directory, which is no ref.
        if files::is_dir(&*self.disk, &path) {
            return Ok(None);
        }
        let Some(bytes) = files::read_bounded(&*self.disk, &path, ref_file::REF_FILE_BYTES)? else {
            return Ok(None);
        };
        ref_file::decode(&bytes)
            .map(Some)
            .map_err(|error| StoreError::corrupt(&path, error.offset(), error))
    }

    /// Points a ref to `id`, creating it if need be. Fails with [`StoreError::RefMoved`] if it is
    /// not as expected. With [`Durability::Strict`] it is durable on return; with
    /// [`Durability::Fast`] it survives the end of the process, but after a power loss the ref
    /// may be its old self, absent or empty. What it points to must be durable before.
    pub fn update(
        &self,
        name: &RefName,
        expected: Expected,
        id: &ObjectId,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let _update = self.begin(name, expected)?;
        let path = self.path(name);
        self.make_parent(&path, durability)?;
        files::replace(&*self.disk, &path, &ref_file::encode(id), durability)
    }

    /// Removes a ref. Fails with [`StoreError::RefMoved`] if it is not as expected; a ref that is
    /// not there, and need not be, is no error.
    pub fn delete(
        &self,
        name: &RefName,
        expected: Expected,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let _update = self.begin(name, expected)?;
        let path = self.path(name);
        match self.disk.remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            removed => removed.map_err(|error| StoreError::io("removing", &path, error))?,
        }
        match (durability, path.parent()) {
            (Durability::Strict, Some(dir)) => files::sync_dir(&*self.disk, dir),
            _ => Ok(()),
        }
    }

    /// The names of all refs whose name begins with `prefix` (`tags/`, or nothing for all),
    /// sorted.
    pub fn names(&self, prefix: &str) -> Result<Vec<RefName>, StoreError> {
        let mut names = Vec::new();
        self.collect_names(&self.dir, "", 0, &mut names)?;
        names.retain(|name| name.0.starts_with(prefix));
        names.sort();
        Ok(names)
    }

    /// All refs whose name begins with `prefix`, sorted by name. One that is damaged fails the
    /// listing, so that nothing it kept alive is taken for garbage.
    pub fn list(&self, prefix: &str) -> Result<Vec<(RefName, ObjectId)>, StoreError> {
        let mut refs = Vec::new();
        for name in self.names(prefix)? {
            if let Some(id) = self.find(&name)? {
                refs.push((name, id));
            }
        }
        Ok(refs)
    }

    /// Locks out other updates and compares the ref with what is expected of it.
    fn begin(&self, name: &RefName, expected: Expected) -> Result<MutexGuard<'_, ()>, StoreError> {
        if self.read_only {
            return Err(StoreError::ReadOnly { path: self.path(name) });
        }
        let update = self.update.lock();
        let expected = match expected {
            Expected::Any => return Ok(update),
            Expected::Absent => None,
            Expected::Is(id) => Some(id),
        };
        let found = self.find(name)?;
        if found == expected {
            Ok(update)
        } else {
            Err(StoreError::RefMoved { name: name.clone(), expected, found })
        }
    }

    fn path(&self, name: &RefName) -> PathBuf {
        self.dir.join(&name.0)
    }

    /// Makes the directories between `refs/` and the file.
    fn make_parent(&self, path: &Path, durability: Durability) -> Result<(), StoreError> {
        let Some(parent) = path.parent() else { return Ok(()) };
        self.disk.create_dirs(parent).map_err(|error| StoreError::io("creating", parent, error))?;
        // One that was there may have been made by an update that did not wait for the disk.
        if durability == Durability::Strict {
            let above = parent.ancestors().skip(1);
            for dir in above.take_while(|dir| dir.starts_with(&self.dir)) {
                files::sync_dir(&*self.disk, dir)?;
            }
        }
        Ok(())
    }

    fn collect_names(
        &self,
        dir: &Path,
        above: &str,
        depth: usize,
        names: &mut Vec<RefName>,
    ) -> Result<(), StoreError> {
        for file in files::names_in(&*self.disk, dir)? {
            let Some(part) = file.to_str() else { continue };
            let name = format!("{above}{part}");
            let path = dir.join(part);
            if part.starts_with(files::TEMP_PREFIX) {
                continue;
            } else if files::is_dir(&*self.disk, &path) && depth < limits::REF_NAME_PARTS_MAX {
                self.collect_names(&path, &format!("{name}/"), depth + 1, names)?;
            } else if let Ok(name) = RefName::new(&name) {
                names.push(name);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Expected, RefName, RefNameError, Refs};
    use crate::base::disk::{Disk, RealDisk};
    use crate::model::ObjectId;
    use crate::store::{Durability, StoreError};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn disk() -> Arc<dyn Disk> {
        Arc::new(RealDisk)
    }

    fn name(text: &str) -> RefName {
        RefName::new(text).unwrap()
    }

    const A: ObjectId = ObjectId::from_bytes([0xaa; 32]);
    const B: ObjectId = ObjectId::from_bytes([0xbb; 32]);

    #[test]
    fn an_update_states_what_it_expects() {
        let dir = tempfile::tempdir().unwrap();
        let refs = Refs::open(&disk(), dir.path().to_owned(), false);
        let head = name("worktrees/main");
        for durability in [Durability::Fast, Durability::Strict] {
            assert_eq!(refs.find(&head).unwrap(), None);
            let error = refs.update(&head, Expected::Is(A), &B, durability).unwrap_err();
            assert!(matches!(error, StoreError::RefMoved { found: None, .. }), "{error}");
            refs.update(&head, Expected::Absent, &A, durability).unwrap();
            let error = refs.update(&head, Expected::Absent, &B, durability).unwrap_err();
            assert!(error.to_string().contains("worktrees/main is aaaaaaaaaaaa"), "{error}");
            refs.update(&head, Expected::Is(A), &B, durability).unwrap();
            refs.update(&head, Expected::Any, &A, durability).unwrap();
            assert_eq!(refs.find(&head).unwrap(), Some(A));
            refs.delete(&head, Expected::Is(B), durability).unwrap_err();
            refs.delete(&head, Expected::Is(A), durability).unwrap();
            refs.delete(&head, Expected::Any, durability).unwrap();
        }
    }

    #[test]
    fn of_many_updates_from_one_value_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let refs = Refs::open(&disk(), dir.path().to_owned(), false);
        let wins = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for n in 0..8 {
                let (refs, wins) = (&refs, &wins);
                scope.spawn(move || {
                    let id = ObjectId::from_bytes([n; 32]);
                    let made = refs.update(&name("r"), Expected::Absent, &id, Durability::Fast);
                    wins.fetch_add(usize::from(made.is_ok()), Ordering::Relaxed);
                });
            }
        });
        assert_eq!(wins.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn listings_are_sorted_and_leave_temporary_files_out() {
        let dir = tempfile::tempdir().unwrap();
        let refs = Refs::open(&disk(), dir.path().to_owned(), false);
        for text in ["tags/v2", "tags/v1", "worktrees/main", "tags/deep/er"] {
            refs.update(&name(text), Expected::Absent, &A, Durability::Fast).unwrap();
        }
        std::fs::write(dir.path().join("tags/.tmp-v3"), "half").unwrap();
        let found: Vec<_> = refs.list("tags/").unwrap().into_iter().map(|(n, _)| n.0).collect();
        assert_eq!(found, ["tags/deep/er", "tags/v1", "tags/v2"]);
        assert_eq!(refs.names("").unwrap().len(), 4);
        assert_eq!(refs.find(&name("tags")).unwrap(), None);
    }

    #[test]
    fn a_damaged_ref_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let refs = Refs::open(&disk(), dir.path().to_owned(), false);
        std::fs::write(dir.path().join("r"), "nonsense").unwrap();
        let error = refs.find(&name("r")).unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { file, .. } if file.ends_with("r")));
        assert!(refs.list("").is_err());
        refs.update(&name("r"), Expected::Any, &A, Durability::Fast).unwrap();
        assert_eq!(refs.find(&name("r")).unwrap(), Some(A));
    }

    #[test]
    fn names_that_would_leave_the_directory_are_refused() {
        for bad in ["", "/", "a//b", "../x", "a/..", ".tmp-x", "a/"] {
            assert_eq!(RefName::new(bad), Err(RefNameError::Part), "{bad:?}");
        }
        assert_eq!(RefName::new("a\nb"), Err(RefNameError::Control));
        assert_eq!(RefName::new(&"a/".repeat(16)), Err(RefNameError::TooLong));
        assert_eq!(RefName::new(&"x".repeat(2000)), Err(RefNameError::TooLong));
        assert!(RefName::new("tags/Grüße 1.0").is_ok());
    }

    #[test]
    fn nothing_changes_in_a_store_that_is_open_for_reading() {
        let dir = tempfile::tempdir().unwrap();
        let refs = Refs::open(&disk(), dir.path().to_owned(), true);
        let error = refs.update(&name("r"), Expected::Any, &A, Durability::Fast).unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    }
}
