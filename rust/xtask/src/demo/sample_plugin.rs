//! Plugin jars to sync: a descriptor and some bytes.
//!
//! They have no class, so GoCD lists them as invalid; what crosses is the file.

use std::io::{Cursor, Write};

use anyhow::Result;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// The bytes of a jar with this plugin id and version.
pub(crate) fn jar(id: &str, version: &str) -> Result<Vec<u8>> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut jar = ZipWriter::new(Cursor::new(Vec::new()));
    jar.start_file("META-INF/MANIFEST.MF", options)?;
    write!(jar, "Manifest-Version: 1.0\r\n\r\n")?;
    jar.start_file("plugin.xml", options)?;
    write!(
        jar,
        r#"<?xml version="1.0" encoding="utf-8"?>
<go-plugin id="{id}" version="1">
  <about>
    <name>Sample plugin</name>
    <version>{version}</version>
    <target-go-version>20.6.0</target-go-version>
    <description>Made by the demo of GoCD Business Continuity</description>
    <vendor>
      <name>GoCD Business Continuity</name>
      <url>https://www.gocd.org</url>
    </vendor>
  </about>
</go-plugin>
"#
    )?;
    jar.start_file("payload.txt", options)?;
    // As large as a small real plugin, so that it takes more than one write to cross.
    for line in 0..4096 {
        writeln!(jar, "{id} {version} line {line}")?;
    }
    Ok(jar.finish()?.into_inner())
}
