// Command dist writes what a release consists of into a folder: static programs
// for each platform, an SBOM beside each, deb and rpm packages, and SHA256SUMS.
//
// All of it depends on the source, the Go version and the flags alone, so that
// two builds in different folders give the same bytes: paths are trimmed, and
// every time stamp is that of the commit.
//
// The packages are made by nfpm as a library, which needs no tools of Debian or
// Red Hat; goreleaser, which does all of this, needs a newer Go. This is a
// module of its own so that nfpm's dependencies do not change those of the linter.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// release is what a release is made of.
type release struct {
	root    string // the repository
	out     string // the folder that is written; made anew
	version string
	commit  string
	date    time.Time
}

// target is a platform.
type target struct{ os, arch string }

var targets = []target{
	{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"},
}

func main() {
	var r release
	var epoch int64
	flag.StringVar(&r.root, "root", ".", "the repository")
	flag.StringVar(&r.out, "out", "dist", "the folder to write, made anew")
	flag.StringVar(&r.version, "version", "", "the version, such as 1.2.3")
	flag.StringVar(&r.commit, "commit", "", "the commit")
	flag.Int64Var(&epoch, "epoch", 0, "the time of the commit, seconds since 1970")
	flag.Parse()
	r.date = time.Unix(epoch, 0).UTC()
	if err := r.make(targets); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

// make writes the whole release.
func (r release) make(targets []target) error {
	if r.version == "" || r.commit == "" {
		return errors.New("-version and -commit are missing")
	}
	if err := errors.Join(os.RemoveAll(r.out), os.MkdirAll(r.out, 0o755)); err != nil {
		return err
	}
	for _, name := range []string{"LICENSE", "NOTICE", "CHANGELOG.md"} {
		if err := copyFile(filepath.Join(r.root, name), filepath.Join(r.out, name)); err != nil {
			return err
		}
	}
	for _, t := range targets {
		program := filepath.Join(r.out, r.name(t))
		if err := r.build(t, program); err != nil {
			return err
		}
		if err := r.writeSBOM(program); err != nil {
			return err
		}
		if t.os == "linux" {
			if err := r.pack(t.arch, program); err != nil {
				return err
			}
		}
	}
	return writeSums(r.out)
}

// name is the file of a program.
func (r release) name(t target) string {
	name := "ottla_" + r.version + "_" + t.os + "_" + t.arch
	if t.os == "windows" {
		name += ".exe"
	}
	return name
}

// build compiles the program for a platform.
func (r release) build(t target, program string) error {
	program, err := filepath.Abs(program)
	if err != nil {
		return err
	}
	const vars = "ottla/internal/cli."
	stamp := "-s -w -buildid= -X " + vars + "version=" + r.version + " -X " + vars + "commit=" + r.commit + " -X " + vars + "date=" + r.date.Format(time.RFC3339)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", stamp, "-o", program, "./cmd/ottla")
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS="+t.os, "GOARCH="+t.arch, "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}

// writeSums lists the checksums of all files in a folder, as sha256sum -c reads
// them.
func writeSums(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var sums []string
	for _, e := range entries {
		sum, err := sumFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		sums = append(sums, sum+"  "+e.Name()+"\n")
	}
	slices.SortFunc(sums, func(a, b string) int { return strings.Compare(a[sha256.Size*2:], b[sha256.Size*2:]) })
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(strings.Join(sums, "")), 0o644)
}

func sumFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}
