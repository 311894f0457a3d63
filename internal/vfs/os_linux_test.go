package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAtLeast(t *testing.T) {
	cases := []struct {
		release string
		want    bool
	}{
		{"5.8.0", true}, {"5.8", true}, {"5.7.19", false}, {"5.10.0-8-amd64", true}, {"6.1.0-13-amd64", true},
		{"4.18.0-553.el8.x86_64", false}, {"5.4-rc1", false}, {"6.18.44-fc-v669", true}, {"", false}, {"linux", false},
	}
	for _, c := range cases {
		if got := atLeast(c.release, 5, 8); got != c.want {
			t.Errorf("atLeast(%q, 5, 8) = %v", c.release, got)
		}
	}
}

// TestSkip checks the rest after a pwritev that wrote less than it was given,
// which does not happen on a healthy disk.
func TestSkip(t *testing.T) {
	bufs := [][]byte{{}, []byte("ab"), {}, []byte("cde"), []byte("f"), {}}
	for n, want := range []string{"abcdef", "bcdef", "cdef", "def", "ef", "f", ""} {
		left := skip(bufs, n)
		if got := string(slices.Concat(left...)); got != want {
			t.Errorf("after %d bytes %q are left, want %q", n, got, want)
		}
		if len(left) > 0 && len(left[0]) == 0 {
			t.Errorf("after %d bytes an empty buffer is in front", n)
		}
	}
	if len(bufs[1]) != 2 {
		t.Error("skip changed its argument")
	}
}

// TestLockConflictsWithFcntl checks that Ottla and a Java broker, which locks
// the file .lock with fcntl, cannot open the same data folder.
func TestLockConflictsWithFcntl(t *testing.T) {
	name := filepath.Join(t.TempDir(), ".lock")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &whole); err != nil {
		t.Fatal(err)
	}
	if _, err := (OS{}).Lock(name); !errors.Is(err, ErrLocked) {
		t.Fatalf("Lock despite an fcntl lock: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := OS{}.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
