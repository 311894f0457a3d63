package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers deb
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // registers rpm
)

// owners are the packages that bring useradd and groupadd.
var owners = map[string]string{"deb": "passwd", "rpm": "shadow-utils"}

// pack writes the deb and the rpm of a Linux program.
func (r release) pack(arch, program string) error {
	for format, needs := range owners {
		if err := r.packOne(format, needs, arch, program); err != nil {
			return err
		}
	}
	return nil
}

func (r release) packOne(format, needs, arch, program string) error {
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "ottla", Arch: arch, Platform: "linux", Version: r.version, Release: "1", Section: "net", Priority: "optional", MTime: r.date,
		Maintainer: "The Ottla authors <maintainers@ottla.invalid>", Vendor: "Ottla", License: "Apache-2.0",
		Description: "Apache Kafka as one small program\nA broker and controller that speak Kafka's protocol and keep Kafka's files,\nand the command line to work with them.",
		Overridables: nfpm.Overridables{
			Depends: []string{needs}, Contents: r.contents(program),
			Scripts: nfpm.Scripts{
				PreInstall: r.packaging("preinstall.sh"), PostInstall: r.packaging("postinstall.sh"),
				PreRemove: r.packaging("preremove.sh"), PostRemove: r.packaging("postremove.sh"),
			},
			RPM: nfpm.RPM{Compression: "gzip:9", BuildHost: "ottla"},
			Deb: nfpm.Deb{Compression: "gzip"},
		},
	})
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(r.out, packager.ConventionalFileName(info)))
	if err != nil {
		return err
	}
	return errors.Join(packager.Package(info, f), f.Close())
}

// contents are the files of a package, with owner, mode and time fixed.
func (r release) contents(program string) files.Contents {
	var all files.Contents
	add := func(from, to, kind string, mode os.FileMode) {
		all = append(all, &files.Content{
			Source: from, Destination: to, Type: kind,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: r.date},
		})
	}
	add(program, "/usr/bin/ottla", files.TypeFile, 0o755)
	add(r.packaging("server.properties"), "/etc/ottla/server.properties", files.TypeConfigNoReplace, 0o644)
	add(r.packaging("ottla.service"), "/usr/lib/systemd/system/ottla.service", files.TypeFile, 0o644)
	add(filepath.Join(r.root, "LICENSE"), "/usr/share/doc/ottla/copyright", files.TypeFile, 0o644)
	for _, name := range []string{"NOTICE", "README.md", "CHANGELOG.md"} {
		add(filepath.Join(r.root, name), "/usr/share/doc/ottla/"+name, files.TypeFile, 0o644)
	}
	return all
}

func (r release) packaging(name string) string { return filepath.Join(r.root, "packaging", name) }
