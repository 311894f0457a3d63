package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRelease builds the release of one platform twice, in different folders:
// the same bytes, the sums are those of the files, the deb holds what it should,
// the SBOM lists the modules.
func TestRelease(t *testing.T) {
	r := release{root: "../..", version: "1.2.3", commit: "abc", date: time.Unix(1_750_000_000, 0).UTC()}
	only := []target{{"linux", runtime.GOARCH}}
	var sums [2][]byte
	for i := range sums {
		r.out = filepath.Join(t.TempDir(), fmt.Sprint("out", i))
		if err := r.make(only); err != nil {
			t.Fatal(err)
		}
		var err error
		if sums[i], err = os.ReadFile(filepath.Join(r.out, "SHA256SUMS")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(sums[0], sums[1]) {
		t.Errorf("two builds differ:\n%s\n%s", sums[0], sums[1])
	}
	program := filepath.Join(r.out, r.name(only[0]))
	for line := range strings.Lines(string(sums[1])) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if got, err := sumFile(filepath.Join(r.out, name)); err != nil || got != want {
			t.Errorf("%s: %s, want %s (%v)", name, got, want, err)
		}
	}
	checkSBOM(t, program+".cdx.json")
	checkDeb(t, filepath.Join(r.out, "ottla_1.2.3-1_"+runtime.GOARCH+".deb"), program)
	if rpms, _ := filepath.Glob(filepath.Join(r.out, "*.rpm")); len(rpms) != 1 {
		t.Errorf("rpm packages: %q", rpms)
	}
}

func checkSBOM(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var doc bom
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"std", "github.com/twmb/franz-go", "go.etcd.io/raft/v3"} {
		if !slices.ContainsFunc(doc.Components, func(c component) bool { return c.Name == want && c.Version != "" }) {
			t.Errorf("%s is not in the SBOM", want)
		}
	}
	if doc.Metadata.Component.Version != "1.2.3" || doc.Format != "CycloneDX" {
		t.Errorf("%+v", doc.Metadata)
	}
}

// checkDeb reads the package as dpkg does.
func checkDeb(t *testing.T, name, program string) {
	t.Helper()
	members := readAr(t, name)
	control := readTar(t, members["control.tar.gz"])
	if got := string(control["conffiles"]); got != "/etc/ottla/server.properties\n" {
		t.Errorf("conffiles: %q", got)
	}
	for _, want := range []string{"Package: ottla\n", "Version: 1.2.3-1\n", "Architecture: " + runtime.GOARCH + "\n", "Depends: passwd\n"} {
		if !strings.Contains(string(control["control"]), want) {
			t.Errorf("no %q in %s", want, control["control"])
		}
	}
	for _, script := range []string{"preinst", "postinst", "prerm", "postrm"} {
		if !bytes.HasPrefix(control[script], []byte("#!/bin/sh\n")) {
			t.Errorf("%s: %q", script, control[script])
		}
	}
	data := readTar(t, members["data.tar.gz"])
	want, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data["usr/bin/ottla"], want) {
		t.Error("the package has another program")
	}
	if unit := string(data["usr/lib/systemd/system/ottla.service"]); !strings.Contains(unit, "Type=notify\n") || !strings.Contains(unit, "User=ottla\n") {
		t.Errorf("the unit: %q", unit)
	}
	if len(data["usr/share/doc/ottla/copyright"]) < 10000 {
		t.Error("the licence is not in the package")
	}
}

// readAr reads an archive of ar(1): a header of 60 bytes, with the name first
// and the size at 48, before each member.
func readAr(t *testing.T, name string) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	members := map[string][]byte{}
	for rest := text[len("!<arch>\n"):]; len(rest) >= 60; {
		size, err := strconv.Atoi(strings.TrimSpace(string(rest[48:58])))
		if err != nil {
			t.Fatal(err)
		}
		members[strings.TrimRight(string(rest[:16]), "/ ")] = rest[60 : 60+size]
		rest = rest[min(len(rest), 60+size+size%2):]
	}
	return members
}

func readTar(t *testing.T, zipped []byte) map[string][]byte {
	t.Helper()
	plain, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for archive := tar.NewReader(plain); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[strings.TrimPrefix(strings.TrimPrefix(h.Name, "."), "/")], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}
