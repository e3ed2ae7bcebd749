//! Which node is found on machines that are folders.

use super::*;

/// A machine in a folder: `usr` and `docker` are where packages and the image would be.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.0.path()).expect("exists").join(name)
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("folder");
        path
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("folder");
        fs::write(path, text).expect("write");
    }

    fn search(&self) -> Search {
        Search {
            state_dir: None,
            gocd: None,
            usual: vec![self.path("usr"), self.path("docker")],
            current: self.folder("current"),
            environment: |_| None,
        }
    }

    /// What the deb and rpm packages make.
    fn package(&self) {
        self.folder("usr/wrapper");
        self.file(
            "usr/wrapper-config/wrapper.conf",
            &format!(
                "wrapper.working.dir={0}/lib\n\
                 wrapper.java.additional.1=-Dcruise.config.dir={0}/etc\n\
                 wrapper.java.additional.2=-Dcruise.config.file={0}/etc/cruise-config.xml\n\
                 @include.optional ../wrapper-config/wrapper-properties.conf\n",
                self.path("").display()
            ),
        );
        self.file("etc/cruise-config.xml", "<cruise/>");
        self.folder("lib");
    }
}

#[test]
fn a_package_and_its_moved_state_folder() {
    let machine = Machine::new();
    machine.package();
    let usual = machine.folder("lib/db/business-continuity");
    let node = machine.search().node(ExitCode::Usage).expect("one node");
    assert_eq!(resolved(&node.state_dir), usual);
    assert_eq!(
        resolved(node.layout.expect("known").cruise_config_dir()),
        machine.path("etc")
    );

    let moved = machine.folder("srv/state");
    machine.file(
        "usr/wrapper-config/wrapper-properties.conf",
        &format!("wrapper.java.additional.100=-Dbc.state.dir={}\n", moved.display()),
    );
    assert_eq!(
        machine.search().node(ExitCode::Usage).expect("one node").state_dir,
        moved
    );
}

#[test]
fn the_docker_image_with_its_links() {
    let machine = Machine::new();
    machine.file(
        "docker/wrapper-config/wrapper.conf",
        &format!("wrapper.working.dir={}\n", machine.path("go-working-dir").display()),
    );
    machine.folder("go-working-dir");
    let state = machine.folder("godata/db/business-continuity");
    #[cfg(unix)]
    std::os::unix::fs::symlink(machine.path("godata/db"), machine.path("go-working-dir/db")).expect("link");
    #[cfg(not(unix))]
    machine.folder("go-working-dir/db/business-continuity");
    let node = machine.search().node(ExitCode::Usage).expect("one node");
    assert_eq!(node.state_dir, machine.path("go-working-dir/db/business-continuity"));
    assert!(cfg!(not(unix)) || resolved(&node.state_dir) == state);
}

#[test]
fn an_installation_from_a_zip_file() {
    let machine = Machine::new();
    machine.folder("opt/go-server-26.1.0/wrapper");
    machine.file(
        "opt/go-server-26.1.0/wrapper-config/wrapper.conf",
        "wrapper.working.dir=..\n",
    );
    let state = machine.folder("opt/go-server-26.1.0/db/business-continuity");
    for gocd in ["opt/go-server-26.1.0", "opt"] {
        let search = Search {
            gocd: Some(machine.path(gocd)),
            ..machine.search()
        };
        assert_eq!(
            search.node(ExitCode::Usage).expect("one node").state_dir,
            state,
            "{gocd}"
        );
    }
    machine
        .search()
        .node(ExitCode::Usage)
        .expect_err("nobody looks there unasked");
}

#[test]
fn a_gocd_without_the_wrapper() {
    let machine = Machine::new();
    machine.file("go/config/cruise-config.xml", "<cruise/>");
    let state = machine.folder("go/db/business-continuity");
    let search = Search {
        gocd: Some(machine.path("go")),
        ..machine.search()
    };
    assert_eq!(search.node(ExitCode::Usage).expect("one node").state_dir, state);
    assert_eq!(
        search.layout(None).expect("known").cruise_config_dir(),
        machine.path("go/config")
    );
}

#[test]
fn several_nodes_are_listed() {
    let machine = Machine::new();
    machine.package();
    machine.folder("lib/db/business-continuity");
    machine.file("other/config/cruise-config.xml", "<cruise/>");
    machine.folder("other/db/business-continuity");
    let search = Search {
        gocd: Some(machine.path("other")),
        ..machine.search()
    };
    let failure = search.node(ExitCode::Unknown).expect_err("two");
    assert!(failure.message().contains("lib/db/business-continuity"), "{failure}");
    assert!(failure.message().contains("other/db/business-continuity"), "{failure}");
    assert_eq!(
        failure.clone(),
        failure.with_exit(ExitCode::Usage),
        "64 also where none would be UNKNOWN"
    );
    let chosen = Search {
        state_dir: Some(machine.path("lib/db/business-continuity")),
        ..search
    };
    let node = chosen.node(ExitCode::Usage).expect("chosen");
    assert_eq!(
        resolved(node.layout.expect("of the package").cruise_config_dir()),
        machine.path("etc")
    );
}

#[test]
fn the_current_folder_comes_last() {
    let machine = Machine::new();
    let here = machine.folder("current/db/business-continuity");
    assert_eq!(
        machine.search().node(ExitCode::Usage).expect("one node").state_dir,
        here
    );
    machine.package();
    let package = machine.folder("lib/db/business-continuity");
    assert_eq!(
        resolved(&machine.search().node(ExitCode::Usage).expect("one node").state_dir),
        package
    );
}

#[test]
fn nothing_says_where_it_looked() {
    let machine = Machine::new();
    machine.package();
    let failure = machine.search().node(ExitCode::Unknown).expect_err("no node");
    assert_eq!(failure, failure.clone().with_exit(ExitCode::Unknown));
    assert!(
        failure
            .to_string()
            .contains("lib/db/business-continuity, which does not exist"),
        "{failure}"
    );
    let nowhere = || Some(machine.path("nowhere"));
    for missing in [
        Search {
            state_dir: nowhere(),
            ..machine.search()
        },
        Search {
            gocd: nowhere(),
            ..machine.search()
        },
    ] {
        let failure = missing.node(ExitCode::Usage).expect_err("no folder");
        assert!(failure.message().contains("nowhere"));
    }
}

#[test]
fn the_configuration_is_known_before_the_node_is() {
    let machine = Machine::new();
    machine.package();
    let layout = machine.search().layout(None).expect("one installation");
    assert_eq!(resolved(layout.cruise_config_dir()), machine.path("etc"));
    let given = machine.search().layout(Some(Path::new("conf"))).expect("given");
    assert_eq!(given.token(), machine.path("current/conf/business-continuity-token"));
}
