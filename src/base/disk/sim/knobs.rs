//! What tests tell a simulated disk to do wrong.

use crossbeam_channel::{Sender, bounded};
use rustix::io::Errno;

use super::SimDisk;
use super::faults::{Chance, Faults};

impl SimDisk {
    /// The disk has so much room from now on.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().faults.capacity = bytes;
    }

    /// Room that is taken.
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().used_bytes()
    }

    /// The disk takes no changes from now on, or takes them again.
    pub fn set_read_only(&self, read_only: bool) {
        self.state.lock().faults.read_only = read_only;
    }

    /// Writes are done in part from now on.
    pub fn set_short_writes(&self, seed: Option<u64>) {
        let mut state = self.state.lock();
        state.faults.short_writes = seed.is_some();
        state.chance = seed.map(Chance::new);
    }

    /// Syncs of files that begin from now on wait until what is returned is dropped.
    pub fn hold_syncs(&self) -> Sender<()> {
        let (hold, held) = bounded(0);
        self.state.lock().sync_hold = Some(held);
        hold
    }

    /// Syncs of files fail from now on, and lose what they were to write.
    pub fn set_fail_syncs(&self, fail: bool) {
        self.state.lock().faults.fail_syncs = fail;
    }

    /// Steps from this one on fail; `None` mends the disk.
    pub fn fail_from(&self, step: Option<u64>, errno: Errno) {
        let mut state = self.state.lock();
        state.faults.fail_from = step.map(|step| (step, errno));
        state.faults.fail_once = false;
    }

    /// This step fails.
    pub fn fail_at(&self, step: u64, errno: Errno) {
        let mut state = self.state.lock();
        state.faults.fail_from = Some((step, errno));
        state.faults.fail_once = true;
    }

    /// Nothing fails any more, but for what has no room.
    pub fn mend(&self) {
        let mut state = self.state.lock();
        let Faults { capacity, steps, reads, ended, .. } = state.faults;
        state.faults = Faults { capacity, steps, reads, ended, ..Faults::default() };
    }

    /// This read fails.
    pub fn fail_read_at(&self, read: u64) {
        let mut state = self.state.lock();
        state.faults.fail_reads_from = Some(read);
        state.faults.fail_read_once = true;
    }
}
