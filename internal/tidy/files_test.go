package tidy

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestNothingBuilt checks the files in git.
func TestNothingBuilt(t *testing.T) {
	files, err := Tracked(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Built(files) {
		t.Errorf("%s: %s", f.Where, f.What)
	}
}

// TestBuiltBites checks Built with files that break the law and files that do
// not.
func TestBuiltBites(t *testing.T) {
	windows := make([]byte, 256)
	copy(windows, "MZ")
	windows[0x3c] = 128
	copy(windows[128:], "PE\x00\x00")
	for _, c := range []struct {
		name, head string
		size       int64
		findings   int
	}{
		{"bench/bench", "\x7fELF\x02", 100, 1},
		{"bench/bench", "\x7fELF\x02", maxFileBytes + 1, 2},
		{"a", "\xcf\xfa\xed\xfe", 4, 1},
		{"a", "\xca\xfe\xba\xbe", 4, 1},
		{"a", string(windows), 256, 1},
		{"a.txt", "MZ is how this text begins, and it has more than sixty-four bytes, no header", 80, 0},
		{"a", "MZ", 2, 0},
		{"a", "!<arch>\n", 8, 1},
		{"a", "PK\x03\x04", 4, 1},
		{"a/b.class", "", 0, 1},
		{"a/b.jar", "", 0, 1},
		{"x.test", "", 0, 1},
		{"docs/a.md", "# A", maxFileBytes, 0},
		{"docs/a.md", "# A", maxFileBytes + 1, 1},
		{"testdata/00000000000000000000.log", "\x00\x00\x00\x00\x00\x00\x00\x00", 8, 0},
		{"a.go", "package a", 9, 0},
	} {
		if found := Built([]File{{c.name, c.size, []byte(c.head)}}); len(found) != c.findings {
			t.Errorf("%s beginning with %q: %v, want %d findings", c.name, c.head, found, c.findings)
		}
	}
}

// TestTracked: files in git and new files are listed, ignored files are not.
// The running test binary is recognized as built.
func TestTracked(t *testing.T) {
	dir := t.TempDir()
	if files, err := Tracked(dir); err != nil || len(files) != 0 {
		t.Errorf("without a repository: %v, %v", files, err)
	}
	if out, err := exec.Command("git", "init", "-q", dir).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v: %s", err, out)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{".gitignore": []byte("*.log\n"), "a.log": nil, "a program": binary, "a.txt": []byte("a")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := Tracked(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Path)
	}
	slices.Sort(names)
	if want := []string{".gitignore", "a program", "a.txt"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	found := Built(files)
	if len(found) == 0 || found[0].Where != "a program" || !strings.Contains(found[0].What, "built") {
		t.Errorf("on %s the test's own program is not found: %v", runtime.GOOS, found)
	}
}
