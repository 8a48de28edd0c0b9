//! Access control lists against values that setfacl and the kernel made, and against the kernel
//! itself.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::io::Errno;
use tempfile::TempDir;

use super::{ACCESS_XATTR, Acl, AclError, DEFAULT_XATTR, Inherited, inherit};

const NOBODY: u32 = u32::MAX;

/// An entry as it lies in the attribute.
type Raw = (u16, u16, u32);

/// `setfacl -m u:1000:rw,g:50:r` on a file of mode 0644.
const NAMED: &str = "0200000001000600ffffffff02000600e803000004000400ffffffff\
                     080004003200000010000600ffffffff20000400ffffffff";
/// `setfacl -d -m u:1000:rwx` on a directory of mode 0755.
const DEFAULT: &str = "0200000001000700ffffffff02000700e803000004000500ffffffff\
                       10000700ffffffff20000500ffffffff";

fn bytes_of_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn acl(hex: &str) -> Acl {
    Acl::decode(&bytes_of_hex(hex)).unwrap()
}

fn raw_bytes(entries: &[Raw]) -> Vec<u8> {
    let mut out = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        out.extend(tag.to_le_bytes());
        out.extend(perm.to_le_bytes());
        out.extend(id.to_le_bytes());
    }
    out
}

fn decode(entries: &[Raw]) -> Result<Acl, AclError> {
    Acl::decode(&raw_bytes(entries))
}

/// The three entries of a mode.
fn plain(mode: u16) -> [Raw; 3] {
    [(1, mode >> 6, NOBODY), (4, mode >> 3 & 7, NOBODY), (32, mode & 7, NOBODY)]
}

#[test]
fn what_setfacl_wrote_round_trips() {
    for hex in [NAMED, DEFAULT] {
        assert_eq!(acl(hex).encode(), bytes_of_hex(hex));
    }
}

#[test]
fn a_list_is_written_as_getfacl_does_with_numbers() {
    assert_eq!(
        acl(NAMED).to_text(),
        "user::rw-,user:1000:rw-,group::r--,group:50:r--,mask::rw-,other::r--"
    );
    assert_eq!(decode(&plain(0o751)).unwrap().to_text(), "user::rwx,group::r-x,other::--x");
}

#[test]
fn the_mask_is_the_group_bits_of_the_mode() {
    assert_eq!(acl(NAMED).mode_after_set(0o644), 0o664);
    assert_eq!(acl(NAMED).mode_after_set(0o7000), 0o7664);
    assert!(!acl(NAMED).is_equivalent_to_mode());
    let plain = decode(&plain(0o750)).unwrap();
    assert_eq!(plain.mode_after_set(0o4007), 0o4750);
    assert!(plain.is_equivalent_to_mode());
}

#[test]
fn a_mask_alone_is_more_than_a_mode() {
    let masked = decode(&[(1, 7, NOBODY), (4, 7, NOBODY), (16, 5, NOBODY), (32, 0, NOBODY)]);
    assert!(!masked.unwrap().is_equivalent_to_mode());
}

#[test]
fn chmod_changes_the_mask_and_spares_the_owning_group() {
    let after = "0200000001000600ffffffff02000600e803000004000400ffffffff\
                 080004003200000010000000ffffffff20000100ffffffff";
    assert_eq!(acl(NAMED).chmod(0o4601), acl(after));
    assert_eq!(decode(&plain(0o777)).unwrap().chmod(0o640), decode(&plain(0o640)).unwrap());
}

#[test]
fn a_default_list_takes_the_place_of_the_umask() {
    let access_of_file = "0200000001000600ffffffff02000700e803000004000500ffffffff\
                          10000600ffffffff20000400ffffffff";
    let file = inherit(Some(&acl(DEFAULT)), 0o666, 0o077, false);
    let access = Some(acl(access_of_file));
    assert_eq!(file, Inherited { mode: 0o664, access, default: None });

    let directory = inherit(Some(&acl(DEFAULT)), 0o777, 0o077, true);
    let both = Some(acl(DEFAULT));
    assert_eq!(directory, Inherited { mode: 0o775, access: both.clone(), default: both });
}

#[test]
fn a_plain_default_list_gives_a_mode_alone() {
    let default = decode(&plain(0o750)).unwrap();
    let file = inherit(Some(&default), 0o4664, 0o777, false);
    assert_eq!(file, Inherited { mode: 0o4640, access: None, default: None });
    assert_eq!(inherit(Some(&default), 0o777, 0, true).default, Some(default));
}

#[test]
fn without_a_default_list_the_umask_counts() {
    let file = inherit(None, 0o6666, 0o7022, false);
    assert_eq!(file, Inherited { mode: 0o6644, access: None, default: None });
}

#[test]
fn ids_of_entries_that_name_nobody_do_not_count() {
    assert_eq!(decode(&[(1, 7, 0), (4, 5, 12), (32, 5, 3)]), decode(&plain(0o755)));
}

#[test]
fn a_name_may_come_twice() {
    let twice = [(1, 7, NOBODY), (2, 1, 5), (2, 2, 5), (4, 5, NOBODY), (16, 7, NOBODY)];
    assert_eq!(decode(&twice), Err(AclError::Incomplete));
    let twice = [&twice[..], &[(32, 0, NOBODY)]].concat();
    assert_eq!(decode(&twice).unwrap().encode(), raw_bytes(&twice));
}

#[test]
fn invalid_lists_are_refused_and_told_why() {
    let [owner, group, other] = plain(0o755);
    let (user, mask) = ((2, 7, 1000), (16, 7, NOBODY));
    let tag = |index, tag| AclError::Tag { index, tag };
    for (entries, error) in [
        (vec![], AclError::Incomplete),
        (vec![owner], AclError::Incomplete),
        (vec![owner, group], AclError::Incomplete),
        (vec![group, other], tag(0, 4)),
        (vec![owner, owner, group, other], tag(1, 1)),
        (vec![owner, other, group], tag(1, 32)),
        (vec![owner, group, other, other], tag(3, 32)),
        (vec![owner, group, mask, mask, other], tag(3, 16)),
        (vec![owner, group, user, mask, other], tag(2, 2)),
        (vec![owner, group, mask, (8, 7, 50), other], tag(3, 8)),
        (vec![owner, group, (64, 7, NOBODY), other], tag(2, 64)),
        (vec![owner, user, group, other], AclError::MaskMissing),
        (vec![owner, group, (8, 7, 50), other], AclError::MaskMissing),
        (vec![owner, (4, 8, NOBODY), other], AclError::Perm { index: 1, perm: 8 }),
        (vec![(1, 0x100, NOBODY), group, other], AclError::Perm { index: 0, perm: 0x100 }),
        (vec![owner, (2, 7, NOBODY), group, mask, other], AclError::Id { index: 1 }),
    ] {
        assert_eq!(decode(&entries), Err(error), "{entries:?}");
    }
}

#[test]
fn bytes_that_frame_no_list_are_refused() {
    let good = bytes_of_hex(NAMED);
    for len in (0..good.len()).filter(|len| len % 8 != 4) {
        assert_eq!(Acl::decode(&good[..len]), Err(AclError::Length(len)));
    }
    let old = [&[1][..], &good[1..]].concat();
    assert_eq!(Acl::decode(&old), Err(AclError::Version(1)));
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

fn named(tag: u16) -> impl Strategy<Value = Vec<Raw>> {
    vec((0..8_u16, 0..4_u32), 0..3)
        .prop_map(move |all| all.into_iter().map(|(perm, id)| (tag, perm, id)).collect())
}

fn valid_entries() -> impl Strategy<Value = Vec<Raw>> {
    (0..0o1000_u16, option::of(0..8_u16), named(2), named(8)).prop_map(
        |(mode, mask, users, groups)| {
            let [owner, group, other] = plain(mode);
            let mask = if users.is_empty() && groups.is_empty() {
                mask
            } else {
                Some(mask.unwrap_or_default())
            };
            let mask: Vec<Raw> = mask.into_iter().map(|perm| (16, perm, NOBODY)).collect();
            [&[owner], &users[..], &[group], &groups, &mask, &[other]].concat()
        },
    )
}

fn any_entry() -> impl Strategy<Value = Raw> {
    let tag = select(vec![0_u16, 1, 2, 4, 8, 16, 32, 64, 0x102]);
    (tag, 0..10_u16, select(vec![0, 1, 2, NOBODY]))
}

/// Valid lists, and lists that were valid until one entry was removed, replaced, doubled or
/// moved.
fn near_valid_entries() -> impl Strategy<Value = Vec<Raw>> {
    (valid_entries(), any_entry(), any::<usize>(), any::<usize>(), 0..6).prop_map(
        |(mut entries, entry, from, to, change)| {
            let (from, to) = (from % entries.len(), to % entries.len());
            match change {
                0 => drop(entries.remove(from)),
                1 => entries[from] = entry,
                2 => entries.insert(to, entries[from]),
                3 => entries.swap(from, to),
                4 => entries.insert(to, entry),
                _ => {}
            }
            entries
        },
    )
}

#[test]
fn any_bytes_are_decoded_or_refused() {
    let entries = prop_oneof![near_valid_entries(), vec(any_entry(), 0..6)];
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..64),
        (entries, 0..8_usize).prop_map(|(entries, cut)| {
            let mut bytes = raw_bytes(&entries);
            bytes.truncate(bytes.len() - cut.saturating_sub(4));
            bytes
        }),
    ];
    runner(4096)
        .run(&bytes, |bytes| {
            if let Ok(acl) = Acl::decode(&bytes) {
                let encoded = acl.encode();
                assert_eq!(encoded.len(), bytes.len());
                assert_eq!(Acl::decode(&encoded), Ok(acl));
            }
            Ok(())
        })
        .unwrap();
}

/// A directory of a filesystem with access control lists, if temporary files are on one.
fn directory_with_acls() -> Option<TempDir> {
    let directory = TempDir::new().unwrap();
    let value = bytes_of_hex(DEFAULT);
    match setxattr(directory.path(), DEFAULT_XATTR, &value, XattrFlags::empty()) {
        Ok(()) => Some(directory),
        Err(Errno::OPNOTSUPP) => {
            eprintln!("no access control lists in {:?}: nothing to compare with", directory.path());
            None
        }
        Err(other) => panic!("{other}"),
    }
}

fn mode_of(path: &Path) -> u16 {
    (fs::metadata(path).unwrap().permissions().mode() & 0o7777) as u16
}

fn stored(path: &Path, name: &[u8]) -> Option<Acl> {
    let mut value = [0; 1024];
    match getxattr(path, name, &mut value[..]) {
        Ok(len) => Some(Acl::decode(&value[..len]).unwrap()),
        Err(Errno::NODATA) => None,
        Err(other) => panic!("{other}"),
    }
}

fn umask() -> u16 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
    u16::from_str_radix(umask.trim(), 8).unwrap()
}

#[test]
fn setting_a_list_and_chmod_do_what_the_kernel_does() {
    let Some(directory) = directory_with_acls() else { return };
    let path = directory.path().join("file");
    let entries = prop_oneof![near_valid_entries(), vec(any_entry(), 1..6)];
    runner(2000)
        .run(&(entries, 0..0o1_0000_u16, 0..0o1_0000_u16), |(entries, mode, mode_later)| {
            File::create(&path).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(mode.into())).unwrap();
            // From here on the inherited list is gone: an equivalent one removes it.
            setxattr(&path, ACCESS_XATTR, &raw_bytes(&plain(mode & 0o777)), XattrFlags::empty())
                .unwrap();
            let bytes = raw_bytes(&entries);
            let answer = setxattr(&path, ACCESS_XATTR, &bytes, XattrFlags::empty());
            match Acl::decode(&bytes) {
                Ok(acl) => {
                    assert_eq!(answer, Ok(()));
                    assert_eq!(mode_of(&path), acl.mode_after_set(mode));
                    let kept = (!acl.is_equivalent_to_mode()).then_some(acl);
                    assert_eq!(stored(&path, ACCESS_XATTR), kept);

                    let later = PermissionsExt::from_mode(mode_later.into());
                    fs::set_permissions(&path, later).unwrap();
                    assert_eq!(mode_of(&path), mode_later);
                    let kept = kept.map(|acl| acl.chmod(mode_later));
                    assert_eq!(stored(&path, ACCESS_XATTR), kept);
                }
                // An empty list asks for removal.
                Err(AclError::Incomplete) if entries.is_empty() => assert_eq!(answer, Ok(())),
                Err(error) => assert_eq!(answer, Err(Errno::INVAL), "{error}"),
            }
            fs::remove_file(&path).unwrap();
            Ok(())
        })
        .unwrap();
}

#[test]
fn new_files_begin_as_the_kernel_makes_them() {
    let Some(directory) = directory_with_acls() else { return };
    let umask = umask();
    runner(1000)
        .run(
            &(option::of(valid_entries()), 0..0o1_0000_u16, any::<bool>()),
            |(entries, mode, is_directory)| {
                // Setgid would have the kernel look at more than the list.
                let mode = mode & if is_directory { 0o1777 } else { 0o5777 };
                let parent = TempDir::new_in(&directory).unwrap();
                let value = entries.as_ref().map_or(raw_bytes(&[]), |entries| raw_bytes(entries));
                setxattr(parent.path(), DEFAULT_XATTR, &value, XattrFlags::empty()).unwrap();
                let default = entries.map(|entries| decode(&entries).unwrap());
                let path = parent.path().join("new");
                if is_directory {
                    DirBuilder::new().mode(mode.into()).create(&path).unwrap();
                } else {
                    let mut options = OpenOptions::new();
                    options.write(true).create_new(true).mode(mode.into()).open(&path).unwrap();
                }
                let made = Inherited {
                    mode: mode_of(&path),
                    access: stored(&path, ACCESS_XATTR),
                    default: is_directory.then(|| stored(&path, DEFAULT_XATTR)).flatten(),
                };
                assert_eq!(made, inherit(default.as_ref(), mode, umask, is_directory));
                Ok(())
            },
        )
        .unwrap();
}
