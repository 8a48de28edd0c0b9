//! What people do with a filesystem, by the programs that they do it with.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::case::{Case, Run, Step, World};

/// Files in each directory of a tree.
const FILES_PER_DIRECTORY: usize = 50;
/// Files of the case that makes and removes many.
const MANY: usize = 10_000;
/// Modules of the crate that is built.
const MODULES: usize = 40;
/// A word that is in one file of a tree.
const NEEDLE: &str = "needle-in-this-file";

pub(crate) fn cases(world: &World) -> Vec<Case> {
    let find_tree: Step = |world, dir| find(world, &dir.join("tree"));
    let grep_tree: Step = |world, dir| grep(world, &dir.join("tree"));
    let mut cases = vec![
        Case::new("untar", Run::Whole(untar)),
        Case::new("find -ls", Run::Whole(find_tree)).after(find_tree),
        Case::new("grep -r", Run::Whole(grep_tree)).after(grep_tree),
        Case::new("git add, commit", Run::Whole(git_commit)),
        Case::new("git status", Run::Whole(git_status)).after(git_status),
        Case::new("git clone", Run::Whole(git_clone)),
        Case::new(
            "rm -rf",
            Run::Whole(|_, dir| run(Command::new("rm").arg("-rf").arg(dir.join("tree")))),
        )
        .after(|_, dir| fs::remove_dir_all(dir.join("clone"))),
        Case::new(
            "create 10 000",
            Run::Whole(|_, dir| {
                fs::create_dir(dir.join("many"))?;
                (0..MANY).try_for_each(|n| File::create(dir.join(format!("many/{n}"))).map(drop))
            }),
        ),
        Case::new(
            "unlink 10 000",
            Run::Whole(|_, dir| {
                (0..MANY).try_for_each(|n| fs::remove_file(dir.join(format!("many/{n}"))))
            }),
        ),
    ];
    if world.scratch.join("crate").exists() {
        let build = Run::Whole(|_, dir| build(&dir.join("crate")));
        cases.push(Case::new("cargo build", build).after(|world, dir| {
            let made = dir.join("crate");
            let from = world.scratch.join("crate");
            run(Command::new("cp").arg("-r").arg(from).arg(made))
        }));
    }
    cases
}

/// What reads a tree and changes nothing.
pub(crate) fn reading() -> Vec<Case> {
    vec![
        Case::new("find -ls", Run::Whole(find)).after(find),
        Case::new("grep -r", Run::Whole(grep)).after(grep),
    ]
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {}: {said}", output.status)))
}

fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir);
    command.args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "gc.auto=0"]);
    command.args(["-c", "maintenance.auto=false", "-c", "safe.directory=*"]);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    command
}

fn untar(world: &World, dir: &Path) -> io::Result<()> {
    let tree = dir.join("tree");
    fs::create_dir(&tree)?;
    run(Command::new("tar").arg("-xf").arg(world.scratch.join("tree.tar")).arg("-C").arg(tree))
}

fn find(_: &World, tree: &Path) -> io::Result<()> {
    run(Command::new("find").arg(tree).arg("-ls"))
}

fn grep(_: &World, tree: &Path) -> io::Result<()> {
    run(Command::new("grep").args(["-r", "-F", NEEDLE]).arg(tree))
}

fn git_commit(_: &World, dir: &Path) -> io::Result<()> {
    let tree = dir.join("tree");
    run(git(&tree).args(["init", "-q", "-b", "main"]))?;
    run(git(&tree).args(["add", "."]))?;
    run(git(&tree).args(["commit", "-q", "-m", "all"]))
}

fn git_status(_: &World, dir: &Path) -> io::Result<()> {
    run(git(&dir.join("tree")).arg("status"))
}

fn git_clone(world: &World, dir: &Path) -> io::Result<()> {
    let from = format!("file://{}", world.scratch.join("packed.git").display());
    run(git(dir).args(["clone", "-q", &from]).arg(dir.join("clone")))
}

fn build(dir: &Path) -> io::Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--offline", "--quiet"]).current_dir(dir);
    // This may have been run by cargo, which tells its children much.
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy().starts_with("CARGO") && name != "CARGO_HOME";
        if told || name == "RUSTFLAGS" {
            cargo.env_remove(name);
        }
    }
    run(&mut cargo)
}

/// Makes what the cases need, unless it is there.
pub(crate) fn make_fixtures(world: &World) -> io::Result<()> {
    let at = |name: &str| -> PathBuf { world.scratch.join(name) };
    if at("packed.git").exists() {
        return Ok(());
    }
    let source = at("source");
    make_tree(&source, world.files)?;
    run(Command::new("tar").arg("-cf").arg(at("tree.tar")).arg("-C").arg(&source).arg("."))?;
    run(git(&source).args(["init", "-q", "-b", "main"]))?;
    run(git(&source).args(["add", "."]))?;
    run(git(&source).args(["commit", "-q", "-m", "all"]))?;
    if Command::new("cargo").arg("--version").output().is_ok() {
        make_crate(&at("crate"))?;
    }
    run(git(&world.scratch).args(["clone", "-q", "--bare"]).arg(&source).arg(at("packed.git")))?;
    run(git(&at("packed.git")).args(["repack", "-q", "-a", "-d"]))?;
    fs::remove_dir_all(source)
}

/// Makes a tree of text files of 100 bytes to 8 KiB, most of them small.
pub(crate) fn make_tree(top: &Path, files: usize) -> io::Result<()> {
    for n in 0..files {
        let dir = top.join(format!(
            "dir{:02}/sub{}",
            n / FILES_PER_DIRECTORY / 20,
            n / FILES_PER_DIRECTORY
        ));
        if n % FILES_PER_DIRECTORY == 0 {
            fs::create_dir_all(&dir)?;
        }
        let mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let bytes = 100 + (mixed % 90) * (mixed / 90 % 90);
        let mut text = format!("file {n}\n");
        if n == files / 2 {
            text.push_str(NEEDLE);
        }
        while text.len() < bytes as usize {
            text.push_str(&format!("line {} of what is in file {n}, {mixed:x}\n", text.len()));
        }
        File::create(dir.join(format!("file{n}.txt")))?.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn make_crate(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir.join("src"))?;
    let manifest =
        "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n";
    fs::write(dir.join("Cargo.toml"), manifest)?;
    let (mut modules, mut calls) = (String::new(), String::new());
    for n in 0..MODULES {
        modules.push_str(&format!("mod part{n};\n"));
        calls.push_str(&format!("    println!(\"{{:?}}\", part{n}::sorted(&[3, 1, {n}]));\n"));
        let part = format!(
            "use std::collections::BTreeMap;\n\n\
             #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\n\
             pub struct Thing {{\n    pub number: u64,\n    pub name: String,\n}}\n\n\
             pub fn sorted(numbers: &[u64]) -> Vec<Thing> {{\n    \
             let map: BTreeMap<u64, Thing> = numbers.iter().map(|n| (*n, Thing {{ number: n * {n}, \
             name: format!(\"{{n}}\") }})).collect();\n    map.into_values().collect()\n}}\n"
        );
        fs::write(dir.join(format!("src/part{n}.rs")), part)?;
    }
    fs::write(dir.join("src/main.rs"), format!("{modules}\nfn main() {{\n{calls}}}\n"))
}
