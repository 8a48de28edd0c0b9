//! POSIX access control lists, as Linux keeps them in extended attributes, and how they and the
//! permission bits of a file follow each other.
//!
//! ```text
//! acl   = version:u32(2) entry...
//! entry = tag:u16 perm:u16 id:u32                                    all little-endian
//! tag   = 1 owner, 2 named user, 4 owning group, 8 named group, 16 mask, 32 others
//! ```
//!
//! Entries stand in the order of their tags. Owner, owning group and others are there exactly
//! once, the mask at most once, and it must be there when a user or group is named. `perm` is the
//! usual three bits. `id` counts for named users and groups only; the others have -1 there.
//!
//! The kernel checks permissions. What is left to a filesystem is to keep the mode and the
//! access list in step: the bits of the owner and of others are the same in both, and the group
//! bits of the mode are the mask where there is one, otherwise the entry of the owning group. The
//! functions are named after those of the kernel's `fs/posix_acl.c` whose rules they follow.

#[cfg(test)]
mod tests;

/// The extended attribute with the list that guards a file.
pub const ACCESS_XATTR: &[u8] = b"system.posix_acl_access";
/// The extended attribute with the list that new files in a directory get.
pub const DEFAULT_XATTR: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;
const HEADER_BYTES: usize = 4;
const ENTRY_BYTES: usize = 8;

const TAG_OWNER: u16 = 0x01;
const TAG_NAMED_USER: u16 = 0x02;
const TAG_GROUP: u16 = 0x04;
const TAG_NAMED_GROUP: u16 = 0x08;
const TAG_MASK: u16 = 0x10;
const TAG_OTHER: u16 = 0x20;

/// The id of entries that name nobody, and of nobody who could be named.
const ID_NONE: u32 = u32::MAX;

const MODE_PERM_BITS: u16 = 0o777;

/// Three permission bits, 0 to 7.
type Perm = u8;

/// A valid access control list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    owner: Perm,
    users: Vec<Named>,
    group: Perm,
    groups: Vec<Named>,
    mask: Option<Perm>,
    other: Perm,
}

/// What one user or group that the list names may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named {
    id: u32,
    perm: Perm,
}

/// Why bytes are no access control list. The kernel answers the version with `EOPNOTSUPP` and
/// everything else with `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AclError {
    /// The first number is not 2.
    #[error("version {0} of access control lists is unknown")]
    Version(u32),
    /// No whole header, or no whole number of entries after it.
    #[error("an access control list cannot have {0} bytes")]
    Length(usize),
    /// An entry with an unknown tag, or one that cannot follow those before it.
    #[error("entry {index} of an access control list cannot have tag {tag:#x}")]
    Tag {
        /// Which entry, from 0.
        index: usize,
        /// Its tag.
        tag: u16,
    },
    /// An entry with other bits than read, write and execute.
    #[error("entry {index} of an access control list cannot have permissions {perm:#o}")]
    Perm {
        /// Which entry, from 0.
        index: usize,
        /// Its permissions.
        perm: u16,
    },
    /// A named user or group with the id -1, which nobody has.
    #[error("entry {index} of an access control list names nobody")]
    Id {
        /// Which entry, from 0.
        index: usize,
    },
    /// The list ends before the entries that must be there. One without any entry is no list:
    /// the kernel takes setting it for removal.
    #[error("an access control list ends early")]
    Incomplete,
    /// Users or groups are named and there is no mask.
    #[error("an access control list with named entries lacks a mask")]
    MaskMissing,
}

impl Acl {
    /// Decodes and checks the value of an extended attribute, by the rules of
    /// `posix_acl_from_xattr` and `posix_acl_valid`. Those allow an id to be named twice.
    pub fn decode(bytes: &[u8]) -> Result<Self, AclError> {
        let (version, entries) =
            bytes.split_first_chunk::<HEADER_BYTES>().ok_or(AclError::Length(bytes.len()))?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(AclError::Version(version));
        }
        let (entries, []) = entries.as_chunks::<ENTRY_BYTES>() else {
            return Err(AclError::Length(bytes.len()));
        };

        let mut reader = EntryReader { entries, index: 0 };
        let acl = Self {
            owner: reader.one(TAG_OWNER)?,
            users: reader.named(TAG_NAMED_USER)?,
            group: reader.one(TAG_GROUP)?,
            groups: reader.named(TAG_NAMED_GROUP)?,
            mask: reader.perm(TAG_MASK)?,
            other: reader.one(TAG_OTHER)?,
        };
        reader.finish()?;
        if acl.mask.is_none() && acl.names_anybody() {
            return Err(AclError::MaskMissing);
        }
        Ok(acl)
    }

    /// Encodes the list as the value of an extended attribute.
    pub fn encode(&self) -> Vec<u8> {
        // Four entries are not named.
        let entries_max = self.users.len() + self.groups.len() + 4;
        let mut out = Vec::with_capacity(HEADER_BYTES + entries_max * ENTRY_BYTES);
        out.extend_from_slice(&VERSION.to_le_bytes());
        let mut put = |tag: u16, perm: Perm, id: u32| {
            out.extend_from_slice(&tag.to_le_bytes());
            out.extend_from_slice(&u16::from(perm).to_le_bytes());
            out.extend_from_slice(&id.to_le_bytes());
        };
        put(TAG_OWNER, self.owner, ID_NONE);
        self.users.iter().for_each(|user| put(TAG_NAMED_USER, user.perm, user.id));
        put(TAG_GROUP, self.group, ID_NONE);
        self.groups.iter().for_each(|group| put(TAG_NAMED_GROUP, group.perm, group.id));
        if let Some(mask) = self.mask {
            put(TAG_MASK, mask, ID_NONE);
        }
        put(TAG_OTHER, self.other, ID_NONE);
        out
    }

    /// Writes the list as `getfacl` and archives do, with numbers for names:
    /// `user::rw-,user:7:r--,group::r--,mask::r--,other::---`.
    pub fn to_text(&self) -> String {
        let mut entries = vec![text_entry("user", None, self.owner)];
        let named = |kind, named: &Named| text_entry(kind, Some(named.id), named.perm);
        entries.extend(self.users.iter().map(|user| named("user", user)));
        entries.push(text_entry("group", None, self.group));
        entries.extend(self.groups.iter().map(|group| named("group", group)));
        entries.extend(self.mask.map(|mask| text_entry("mask", None, mask)));
        entries.push(text_entry("other", None, self.other));
        entries.join(",")
    }

    /// Tells whether permission bits say all that the list says, so that as an access list it is
    /// not stored (`posix_acl_equiv_mode`). A default list is stored whatever it says.
    pub fn is_equivalent_to_mode(&self) -> bool {
        self.mask.is_none() && !self.names_anybody()
    }

    /// The mode of a file of mode `mode` once this is its access list (`posix_acl_update_mode`):
    /// the permission bits are the list's, all others stay. Whether setgid is cleared depends on
    /// the caller and is not decided here.
    #[must_use]
    pub fn mode_after_set(&self, mode: u16) -> u16 {
        let group = self.mask.unwrap_or(self.group);
        let perm = u16::from(self.owner) << 6 | u16::from(group) << 3 | u16::from(self.other);
        (mode & !MODE_PERM_BITS) | perm
    }

    /// The access list of a file with this one after `chmod` to `mode` (`posix_acl_chmod`). Where
    /// there is a mask it takes the group bits, and the owning group keeps its entry.
    #[must_use]
    pub fn chmod(&self, mode: u16) -> Self {
        let mut acl = self.clone();
        acl.owner = perm_bits(mode, 6);
        *acl.group_class() = perm_bits(mode, 3);
        acl.other = perm_bits(mode, 0);
        acl
    }

    /// The entry that the group bits of the mode stand for.
    fn group_class(&mut self) -> &mut Perm {
        self.mask.as_mut().unwrap_or(&mut self.group)
    }

    fn names_anybody(&self) -> bool {
        !self.users.is_empty() || !self.groups.is_empty()
    }
}

fn text_entry(kind: &str, id: Option<u32>, perm: Perm) -> String {
    let bit = |bit: Perm, letter: char| if perm & bit == 0 { '-' } else { letter };
    let id = id.map_or(String::new(), |id| id.to_string());
    format!("{kind}:{id}:{}{}{}", bit(4, 'r'), bit(2, 'w'), bit(1, 'x'))
}

/// What a new file begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// Its mode.
    pub mode: u16,
    /// Its access list, where the mode does not say it all.
    pub access: Option<Acl>,
    /// Its default list, if it is a directory.
    pub default: Option<Acl>,
}

/// What `create`, `mkdir` and `mknod` with `mode` make in a directory with this default list
/// (`posix_acl_create`). The list takes the place of the umask, and grants no more than `mode`.
/// Without one the umask counts. Symbolic links inherit nothing and do not come here.
pub fn inherit(
    default_of_parent: Option<&Acl>,
    mode: u16,
    umask: u16,
    is_directory: bool,
) -> Inherited {
    let Some(default) = default_of_parent else {
        return Inherited { mode: mode & !(umask & MODE_PERM_BITS), access: None, default: None };
    };
    let mut access = default.clone();
    access.owner &= perm_bits(mode, 6);
    *access.group_class() &= perm_bits(mode, 3);
    access.other &= perm_bits(mode, 0);
    Inherited {
        mode: access.mode_after_set(mode),
        access: (!access.is_equivalent_to_mode()).then_some(access),
        default: is_directory.then(|| default.clone()),
    }
}

/// Three bits of a mode.
fn perm_bits(mode: u16, shift: u32) -> Perm {
    // Three bits fit.
    ((mode >> shift) & 7) as Perm
}

/// Reads entries in the order in which they must stand.
struct EntryReader<'a> {
    entries: &'a [[u8; ENTRY_BYTES]],
    /// How many were read.
    index: usize,
}

impl EntryReader<'_> {
    /// Reads the next entry if it has this tag.
    fn next(&mut self, wanted: u16) -> Result<Option<Named>, AclError> {
        let index = self.index;
        let Some(&[t0, t1, p0, p1, id @ ..]) = self.entries.get(index) else {
            return Ok(None);
        };
        if u16::from_le_bytes([t0, t1]) != wanted {
            return Ok(None);
        }
        let perm = u16::from_le_bytes([p0, p1]);
        let perm = Perm::try_from(perm)
            .ok()
            .filter(|perm| *perm <= 7)
            .ok_or(AclError::Perm { index, perm })?;
        self.index += 1;
        Ok(Some(Named { id: u32::from_le_bytes(id), perm }))
    }

    /// Reads the next entry if it has this tag, which names nobody.
    fn perm(&mut self, tag: u16) -> Result<Option<Perm>, AclError> {
        Ok(self.next(tag)?.map(|entry| entry.perm))
    }

    /// Reads the next entry, which must have this tag.
    fn one(&mut self, tag: u16) -> Result<Perm, AclError> {
        match self.perm(tag)? {
            Some(perm) => Ok(perm),
            None => Err(self.unexpected().unwrap_or(AclError::Incomplete)),
        }
    }

    /// Reads all entries from here on that have this tag.
    fn named(&mut self, tag: u16) -> Result<Vec<Named>, AclError> {
        let mut all = Vec::new();
        while let Some(entry) = self.next(tag)? {
            if entry.id == ID_NONE {
                return Err(AclError::Id { index: self.index - 1 });
            }
            all.push(entry);
        }
        Ok(all)
    }

    /// Checks that nothing is left.
    fn finish(&self) -> Result<(), AclError> {
        self.unexpected().map_or(Ok(()), Err)
    }

    /// The error that the next entry is, if there is one.
    fn unexpected(&self) -> Option<AclError> {
        let [t0, t1, ..] = *self.entries.get(self.index)?;
        Some(AclError::Tag { index: self.index, tag: u16::from_le_bytes([t0, t1]) })
    }
}
