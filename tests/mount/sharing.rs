//! What processes see of a file that they have open at once, each in its own way, while the one
//! that made it still writes it. Steps are in order by what the processes tell each other.

use crate::harness::TestMount;
use crate::shell::{have, sh};

/// What the scripts share: a child that runs a function, step by step with its parent.
const STEPS: &str = r"
import ctypes, mmap, os, signal, struct
class Child:
    def __init__(self, run):
        self.to, self.back = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            # It ends with its parent, which may fail: PR_SET_PDEATHSIG.
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
            try:
                run(self)
                os._exit(0)
            except BaseException as error:
                print('the child:', repr(error), flush=True)
                os._exit(1)
    # In the child: waits until the parent lets it go on, having told that it is there.
    def pause(self):
        os.write(self.back[1], b'.')
        assert os.read(self.to[0], 1) == b'.'
    # In the parent: waits until the child pauses.
    def wait(self): assert os.read(self.back[0], 1) == b'.'
    def go_on(self): os.write(self.to[1], b'.')
    def end(self): assert os.waitpid(self.pid, 0)[1] == 0, 'the child failed'
";

#[track_caller]
fn run(script: &str) {
    if !have(&["python3"]) {
        return;
    }
    let mount = TestMount::new();
    sh(mount.path(), &format!("timeout 120 python3 - <<'END'\n{STEPS}\n{script}\nEND"));
}

#[test]
fn a_mapping_follows_whoever_made_the_file_and_only_writes_it() {
    run(r"
maker = os.open('file', os.O_WRONLY | os.O_CREAT)
os.write(maker, b'a' * 100)
def reads(child):
    fd = os.open('file', os.O_RDONLY)
    shared = mmap.mmap(fd, 100, prot=mmap.PROT_READ)
    private = mmap.mmap(fd, 100, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    assert shared[:] == private[:] == b'a' * 100
    child.pause()
    assert shared[:] == private[:] == b'b' + b'a' * 99
    assert os.lseek(fd, 0, os.SEEK_END) == os.fstat(fd).st_size == 9000
    more = mmap.mmap(fd, 9000, prot=mmap.PROT_READ)
    assert more[100:] == b'c' * 8900
    child.pause()
    # The maker has closed it, and somebody else has written it.
    assert shared[0:2] == b'da' and more[8999:] == b'd' and os.pread(fd, 1, 0) == b'd'
child = Child(reads)
child.wait()
os.pwrite(maker, b'b', 0)
os.pwrite(maker, b'c' * 8900, 100)
child.go_on()
child.wait()
os.close(maker)
other = os.open('file', os.O_WRONLY)
os.pwrite(other, b'd', 0)
os.pwrite(other, b'd', 8999)
child.go_on()
child.end()
");
}

/// A mapping holds whole pages. Those that it writes must have all that others have written.
#[test]
fn no_write_is_lost_to_a_mapping_that_is_written_beside_it() {
    run(r"
maker = os.open('file', os.O_WRONLY | os.O_CREAT, 0o644)
os.write(maker, bytes(8192))
stop = mmap.mmap(-1, 4096)
def stores(child):
    shared = mmap.mmap(os.open('file', os.O_RDWR), 8192)
    number = 0
    while not stop[0]:
        number = (number + 1) % 2**32
        shared[100:104] = struct.pack('<I', number)
        if number == 1:
            child.pause()
child = Child(stores)
child.wait()
child.go_on()
reader = os.open('file', os.O_RDONLY)
for number in range(20000):
    written = struct.pack('<I', number)
    os.pwrite(maker, written, 0)
    assert os.pread(reader, 4, 0) == written, f'write {number} is lost'
stop[0] = 1
child.end()
");
}

#[test]
fn appends_of_many_processes_are_all_there_and_whole() {
    run(r"
PROCESSES, APPENDS = 4, 300
maker = os.open('log', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
def appends(name):
    def run(child):
        # Each opens it anew, while the maker has it open.
        fd = os.open('log', os.O_WRONLY | os.O_APPEND)
        child.pause()
        for number in range(APPENDS):
            os.write(fd, b'%d %04d\n' % (name, number))
    return run
children = [Child(appends(name)) for name in range(PROCESSES)]
for child in children: child.wait()
for child in children: child.go_on()
for number in range(APPENDS):
    os.write(maker, b'm %04d\n' % number)
    # Nothing that is there changes any more, and nothing is half there.
    with open('log', 'rb') as f: seen = f.read()
    assert seen.endswith(b'\n') and b'\0' not in seen
os.close(maker)
for child in children: child.end()
lines = open('log', 'rb').read().splitlines()
names = [b'm'] + [b'%d' % name for name in range(PROCESSES)]
assert sorted(lines) == sorted(b'%s %04d' % (n, k) for n in names for k in range(APPENDS))
for name in names:
    mine = [line for line in lines if line.startswith(name)]
    assert mine == sorted(mine), 'in the order in which they were written'
");
}

#[test]
fn sizes_that_one_process_sets_are_those_of_all() {
    run(r"
maker = os.open('file', os.O_WRONLY | os.O_CREAT)
os.write(maker, b'a' * 10000)
def reads(child):
    fd = os.open('file', os.O_RDWR)
    shared = mmap.mmap(fd, 10000)
    assert shared[9999:] == b'a'
    child.pause()
    # It has become shorter, and longer again: what was there is not there again.
    assert os.fstat(fd).st_size == os.lseek(fd, 0, os.SEEK_END) == 10000
    assert shared[:5000] == b'a' * 5000 and shared[5000:] == bytes(5000)
    assert os.pread(fd, 10000, 0) == shared[:]
    os.ftruncate(fd, 9000)
    child.pause()
    assert os.pread(fd, 2000, 9000) == bytes(1000) + b'end'
    shared[0:1] = b'm'
    shared.flush()
child = Child(reads)
child.wait()
os.truncate('file', 5000)
os.ftruncate(maker, 10000)
child.go_on()
child.wait()
assert os.stat('file').st_size == os.lseek(maker, 0, os.SEEK_END) == 9000
os.pwrite(maker, b'end', 10000)
child.go_on()
child.end()
assert open('file', 'rb').read() == b'm' + b'a' * 4999 + bytes(5000) + b'end'
");
}

#[test]
fn what_was_read_while_it_was_written_is_not_kept() {
    run(r"
maker = os.open('file', os.O_WRONLY | os.O_CREAT)
def reads(child):
    fd = os.open('file', os.O_RDONLY)
    for size in range(1000, 9000, 1000):
        child.pause()
        assert os.pread(fd, 10000, 0) == open('file', 'rb').read() == b'%d' % (size // 1000) * size
    child.pause()
    assert os.pread(fd, 10000, 0) == open('file', 'rb').read() == b'9' * 10000
child = Child(reads)
for size in range(1000, 9000, 1000):
    child.wait()
    os.pwrite(maker, b'%d' % (size // 1000) * size, 0)
    child.go_on()
child.wait()
# A second writer outlives the first.
other = os.open('file', os.O_WRONLY)
os.close(maker)
os.pwrite(other, b'9' * 10000, 0)
child.go_on()
child.end()
");
}
