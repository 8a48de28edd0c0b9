//! What people and programs write: revisions, times, paths, access control lists.

use vst::repo::Revision;
use vst::vfs::acl::Acl;
use vst::vfs::text::{format_time, parse_time, quote_path, unquote_path};

/// Parses the bytes in each way.
pub fn text(data: &[u8]) {
    assert_eq!(unquote_path(&quote_path(data)).as_deref(), Some(data));
    if let Ok(acl) = Acl::decode(data) {
        let again = Acl::decode(&acl.encode()).unwrap();
        assert_eq!(again.encode(), acl.encode());
        let _ = acl.chmod(0o750);
        let _ = acl.mode_after_set(0o640);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Revision::split(text);
    let _ = unquote_path(text);
    if let Some(time) = parse_time(text) {
        let _ = format_time(time);
    }
}
