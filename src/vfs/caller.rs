//! Who asks.

use std::fs;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its thread or process, 0 for none that can be seen from here.
    pub pid: u32,
    /// The bits that a new file shall not have.
    pub umask: u32,
    /// Whether it may keep setgid on a file whose ACL it sets, where the transport tells.
    pub keeps_setgid: Option<bool>,
}

impl Caller {
    /// Tells whether it may keep setgid on a file of this group: root may, and who is in it.
    ///
    /// Where the transport does not tell: a request names one group of many. The others are looked
    /// up where the system lists them, which is dear; whose groups cannot be told is in none.
    pub(super) fn keeps_setgid(&self, gid: u32) -> bool {
        self.keeps_setgid.unwrap_or_else(|| {
            self.uid == 0 || self.gid == gid || supplementary_groups(self.pid).contains(&gid)
        })
    }
}

fn supplementary_groups(pid: u32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:"));
    line.unwrap_or_default().split_whitespace().filter_map(|group| group.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Caller, supplementary_groups};

    #[test]
    fn the_groups_of_this_process_are_those_that_the_system_tells() {
        let mut told: Vec<u32> = rustix::process::getgroups()
            .expect("they can be asked for")
            .into_iter()
            .map(rustix::process::Gid::as_raw)
            .collect();
        let mut found = supplementary_groups(std::process::id());
        told.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, told);
    }

    #[test]
    fn root_and_members_keep_setgid_and_strangers_do_not() {
        // No process has that number.
        let caller = |uid, gid| Caller { uid, gid, pid: u32::MAX, umask: 0, keeps_setgid: None };
        assert!(caller(0, 0).keeps_setgid(5));
        assert!(caller(1, 5).keeps_setgid(5));
        assert!(!caller(1, 1).keeps_setgid(5));
        let told = |keeps| Caller { keeps_setgid: Some(keeps), ..caller(1, 1) };
        assert!(told(true).keeps_setgid(5) && !told(false).keeps_setgid(1));
    }
}
