//! The platforms that the product is built for.

use clap::ValueEnum;

/// An operating system and processor, named as the folders in the jar are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Platform {
    /// Linux on x86-64: the one that tests load.
    #[value(name = "linux-x86_64")]
    LinuxX86_64,
    /// Linux on 64-bit ARM.
    #[value(name = "linux-aarch64")]
    LinuxAarch64,
    /// Windows on x86-64.
    #[value(name = "windows-x86_64")]
    WindowsX86_64,
}

impl Platform {
    /// All platforms of a distribution.
    pub(crate) const ALL: [Platform; 3] = [Self::LinuxX86_64, Self::LinuxAarch64, Self::WindowsX86_64];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LinuxX86_64 => "linux-x86_64",
            Self::LinuxAarch64 => "linux-aarch64",
            Self::WindowsX86_64 => "windows-x86_64",
        }
    }

    /// Rust's name for it.
    pub(crate) fn rust_target(self) -> &'static str {
        match self {
            Self::LinuxX86_64 => "x86_64-unknown-linux-gnu",
            Self::LinuxAarch64 => "aarch64-unknown-linux-gnu",
            Self::WindowsX86_64 => "x86_64-pc-windows-gnu",
        }
    }

    /// What cargo-zigbuild is told: on Linux with the oldest glibc to run on.
    pub(crate) fn zig_target(self) -> String {
        match self {
            Self::LinuxX86_64 | Self::LinuxAarch64 => format!("{}.{OLDEST_GLIBC}", self.rust_target()),
            Self::WindowsX86_64 => self.rust_target().to_owned(),
        }
    }

    /// File name of the native library, as `System.mapLibraryName` makes it.
    pub(crate) fn library_file(self) -> &'static str {
        match self {
            Self::LinuxX86_64 | Self::LinuxAarch64 => "libgocd_bc.so",
            Self::WindowsX86_64 => "gocd_bc.dll",
        }
    }

    /// File name of the companion command.
    pub(crate) fn companion_file(self) -> &'static str {
        match self {
            Self::LinuxX86_64 | Self::LinuxAarch64 => "gocd-bc",
            Self::WindowsX86_64 => "gocd-bc.exe",
        }
    }

    pub(crate) fn is_linux(self) -> bool {
        self != Self::WindowsX86_64
    }
}

/// The oldest glibc that a library must load on: that of CentOS 7, the oldest system GoCD had images for.
pub(crate) const OLDEST_GLIBC: &str = "2.17";
