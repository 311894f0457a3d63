package tidy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxFileBytes is the maximum size of a file in git: every clone contains every
// version of it forever.
const maxFileBytes = 1 << 20

// headBytes is how much of a file Built needs to determine its type: the header
// of a Windows program begins with a DOS program of a few hundred bytes.
const headBytes = 1024

// File is a file in git, or one that `git add` would add.
type File struct {
	// Path is relative to the root of the repository, with forward slashes.
	Path string
	Size int64
	// Head contains the first bytes of the file, at most headBytes.
	Head []byte
}

// Tracked lists the files of the repository in root: those in git and those
// that `git add` would add. Without a repository (a source archive) the list is
// empty.
func Tracked(root string) ([]File, error) {
	if _, err := os.Stat(filepath.Join(root, ".git")); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	git := exec.Command("git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	names, err := git.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", git, err)
	}
	var files []File
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		file, err := readHead(root, name)
		if errors.Is(err, fs.ErrNotExist) { // deleted, but still in the index
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func readHead(root, name string) (File, error) {
	where := filepath.Join(root, filepath.FromSlash(name))
	info, err := os.Lstat(where)
	if err != nil || !info.Mode().IsRegular() {
		return File{Path: name}, err
	}
	f, err := os.Open(where)
	if err != nil {
		return File{}, err
	}
	head, err := io.ReadAll(io.LimitReader(f, headBytes))
	return File{name, info.Size(), head}, errors.Join(err, f.Close())
}

// Built finds generated binary files, which can be built again, and files that
// are too big for git.
func Built(files []File) []Finding {
	var found []Finding
	for _, f := range files {
		if kind := builtKind(f); kind != "" {
			found = append(found, Finding{f.Path, kind + " is built: `git rm --cached` it and add its name to .gitignore"})
		}
		if f.Size > maxFileBytes {
			found = append(found, Finding{f.Path, fmt.Sprintf("%d bytes, at most %d: generate it, or let a script fetch it", f.Size, maxFileBytes)})
		}
	}
	return found
}

// builtNames are extensions that only built files have.
var builtNames = []string{
	".o", ".a", ".so", ".dylib", ".dll", ".exe", ".class", ".jar", ".war", ".pyc", ".wasm", ".test", ".prof",
	".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".deb", ".rpm", ".apk",
}

// builtHeads are the first bytes of built files.
var builtHeads = []struct{ head, kind string }{
	{"\x7fELF", "an ELF program or object"},
	{"\xfe\xed\xfa\xce", "a Mach-O program or object"}, {"\xce\xfa\xed\xfe", "a Mach-O program or object"},
	{"\xfe\xed\xfa\xcf", "a Mach-O program or object"}, {"\xcf\xfa\xed\xfe", "a Mach-O program or object"},
	{"\xca\xfe\xba\xbe", "a Java class or Mach-O program"},
	{"!<arch>\n", "a library or package archive"},
	{"\x00asm", "a WebAssembly module"},
	{"PK\x03\x04", "a zip or jar archive"},
	{"\x1f\x8b\x08", "a gzip archive"},
	{"\xed\xab\xee\xdb", "an rpm package"},
}

// builtKind describes the type of a built file; "" for other files.
func builtKind(f File) string {
	for _, b := range builtHeads {
		if bytes.HasPrefix(f.Head, []byte(b.head)) {
			return b.kind
		}
	}
	if isWindowsProgram(f.Head) {
		return "a Windows program"
	}
	if ext := path.Ext(f.Path); slices.Contains(builtNames, ext) {
		return "a file named *" + ext
	}
	return ""
}

// isWindowsProgram checks for the PE header at the position given in the DOS
// header. A text file may begin with MZ too.
func isWindowsProgram(head []byte) bool {
	const offsetField = 0x3c
	if len(head) < offsetField+4 || string(head[:2]) != "MZ" {
		return false
	}
	at := uint64(binary.LittleEndian.Uint32(head[offsetField:]))
	return at+4 <= uint64(len(head)) && string(head[at:at+4]) == "PE\x00\x00"
}
