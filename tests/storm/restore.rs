//! Restoring the whole tree amid a storm: it happens as a whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use super::check::{Parts, adopted};
use super::model::Model;
use super::storm::{Storm, WRITERS};

/// The longest time from asking for it to a kill amid it, in microseconds.
const KILL_US_MAX: usize = 20_000;
/// One restore in so many is left alone.
const WHOLE: usize = 3;

impl Storm {
    /// Restores the whole tree, mostly with a kill amid it, after which it is there or not.
    pub(crate) fn restore(
        &mut self,
        id: &str,
        then: Vec<Model>,
        token: usize,
    ) -> Result<(), String> {
        let killed = !self.random.once_in(WHOLE);
        let after = Duration::from_micros(self.random.below(KILL_US_MAX) as u64);
        let path = self.mount.path().join(".vst/restore");
        let mount = &mut self.mount;
        let asked = thread::scope(|scope| {
            let ask = || -> io::Result<()> {
                File::options().write(true).open(path)?.write_all(id.as_bytes())
            };
            let asker = scope.spawn(ask);
            if killed {
                thread::sleep(after);
                mount.kill_daemon();
            }
            asker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        if killed {
            self.totals.kills_at_restore += 1;
            self.mount.remove_dead_mount();
            self.mount_again()?;
        }
        if let (Err(error), false) = (&asked, killed) {
            return Err(format!("restoring {id}: {error}"));
        }
        self.totals.whole_restores += u64::from(asked.is_ok());
        let stood_on_it = self.history.head() == id;
        let stands_on_it = self.history.follow_restore(&self.mount, id)?;
        if asked.is_ok() && !stands_on_it {
            return Err(format!("an acknowledged restore of {id} is lost"));
        }
        let live = Parts::read(self.mount.path(), WRITERS)?;
        // The head tells whether it happened, unless it is the same before and after.
        let unknown = asked.is_err() && stood_on_it && stands_on_it;
        if stands_on_it && !(unknown && live.difference(&then, token).is_some()) {
            (self.models, self.token) = (then, token);
        }
        if let Some(difference) = live.difference(&self.models, self.token) {
            let what = if stands_on_it { "should be" } else { "is not" };
            return Err(format!("the tree {what} restored to {id}: {difference}"));
        }
        for (model, files) in self.models.iter_mut().zip(&live.writers) {
            *model = adopted(model, files);
        }
        Ok(())
    }
}
