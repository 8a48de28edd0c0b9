//! What the tests of import and export share: a tree of everything, and the built `vst`.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::XattrFlags;

use crate::shell::{have, is_root, sh};

/// What a command line did.
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `vst` in a directory.
#[track_caller]
pub(crate) fn vst_run(directory: &Path, args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_vst"))
        .args(args)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("the binary has been built");
    Output {
        code: output.status.code().expect("no signal ended it"),
        stdout: String::from_utf8(output.stdout).expect("output is UTF-8"),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What a command line that succeeds prints.
#[track_caller]
pub(crate) fn vst(directory: &Path, args: &[&str]) -> String {
    let output = vst_run(directory, args);
    assert_eq!(output.code, 0, "{args:?}: {}", output.stderr);
    output.stdout
}

/// What a command line that fails says.
#[track_caller]
pub(crate) fn vst_fails(directory: &Path, args: &[&str]) -> String {
    let output = vst_run(directory, args);
    assert_ne!(output.code, 0, "{args:?}: {}", output.stdout);
    output.stderr
}

/// Makes a tree with something of every kind in an empty directory.
pub(crate) fn make_tree(top: &Path) {
    sh(
        top,
        "mkdir -p odd/empty/deeper odd/private odd/names odd/links many/deep/er
         for i in $(seq 700); do echo \"file $i\" > many/file-$i; done; echo x > many/deep/er/x
         cp many/file-7 many/deep/; ln many/file-8 many/deep/er/8; ln many/file-8 odd/8
         cd odd
         printf shared > links/a; ln links/a links/b; ln -s a links/to-a; ln -s /no/such links/dangling
         ln -s \"$(head -c 3000 /dev/zero | tr '\\0' x)\" links/long
         mkfifo -m 0620 fifo
         printf 'in front' > holes; truncate -s 40M holes; printf 'last' >> holes
         truncate -s 700000 all-hole; : > nothing
         printf 'x' > ends-in-hole; truncate -s 9M ends-in-hole
         head -c 5000000 /dev/urandom > random; ln random links/random
         cp /bin/sh setuid; chmod 6755 setuid; chmod 000 nothing
         name=$(head -c 200 /dev/zero | tr '\\0' n); mkdir -p $name/$name; echo long > $name/$name/$name
         ln $name/$name/$name links/long-name
         touch -d '1969-12-31 23:59:50' many-old; touch -d '1931-01-01 00:00:00' older
         touch -d '2001-02-03 04:05:06.123456789' exact; touch -d '2300-01-01' late
         touch -d '2001-02-03 04:05:06.5' links private; touch -h -d '2002-02-02 02:02:02' links/to-a
         chmod 0700 private; chmod 1777 names; chmod 2755 empty",
    );
    drop(std::os::unix::net::UnixListener::bind(top.join("odd/socket")).expect("a new socket"));
    let odd_names: [Vec<u8>; 4] =
        [vec![0xff; 255], (1..=255).filter(|b| *b != b'/').collect(), b"\n".into(), b" -rf".into()];
    for (number, name) in odd_names.into_iter().enumerate() {
        let path = top.join("odd/names").join(std::ffi::OsString::from_vec(name));
        fs::write(path, format!("odd name {number}")).expect("a new file");
    }
    for (name, value) in [("user.x", &b"1\xff\0"[..]), ("user.a=b%", &[7; 3000]), ("user.e", b"")] {
        for path in ["odd/exact", "odd/links/a", "odd/empty"] {
            rustix::fs::setxattr(top.join(path), name, value, XattrFlags::empty())
                .expect("the filesystem has attributes");
        }
    }
    if is_root() {
        sh(
            top,
            "cd odd; mknod -m 0640 char c 1 3; mknod block b 7 300; chown 1:2 exact many-old
             chown -h 3:4 links/dangling; chown 3000000:3000001 older; chown 5:6 setuid; chmod 6711 setuid
             setfattr -n trusted.t -v t exact; setfattr -h -n trusted.l -v l links/to-a",
        );
    }
    if have(&["setfacl"]) {
        sh(top, "cd odd; setfacl -m u:1:r,g:2:rw exact; setfacl -m u:3:rx,d:u:4:rwx,d:o::- empty");
    }
}
