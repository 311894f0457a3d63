// Package tidy checks the laws of the repository, with a test that reads the
// source.
//
// A law is a function from the source files to findings. A finding names the
// place and the correction. Laws lists them with their reasons. If a law is
// wrong, change it here and give the reason in the commit; do not work around
// it.
//
// Start reading at Laws. tidy_test.go runs the laws over the repository, and
// over sources that break them.
package tidy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Source is one parsed Go file of the main module.
type Source struct {
	// Path is the file's name relative to the root of the repository, with
	// forward slashes.
	Path string
	// Room is the folder of the file; "." for the root.
	Room string
	// Test reports whether the name ends in _test.go.
	Test bool
	// Generated reports whether the file is generated.
	Generated bool
	// Text is the source text.
	Text string

	fset *token.FileSet
	ast  *ast.File
}

// Finding is a violation of a law.
type Finding struct {
	// Where is file:line, or a folder.
	Where string
	// What describes the violation and the correction.
	What string
}

// Parse parses text into a Source.
func Parse(name, text string) (Source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	if err != nil {
		return Source{}, err
	}
	return Source{
		Path: name, Room: path.Dir(name), Test: strings.HasSuffix(name, "_test.go"),
		Generated: ast.IsGenerated(file), Text: text, fset: fset, ast: file,
	}, nil
}

// Load parses every Go file of the module in root. It skips folders that have
// their own go.mod.
func Load(root string) ([]Source, error) {
	var sources []Source
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipFolder(root, name)
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		source, err := Parse(filepath.ToSlash(relative), string(text))
		sources = append(sources, source)
		return err
	})
	return sources, err
}

// skipFolder skips hidden folders, data folders and other modules.
func skipFolder(root, name string) error {
	base := filepath.Base(name)
	if name == root {
		return nil
	}
	if strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules" || base == "ottla-data" {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}

// at returns the position of a node.
func (s Source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.Path, s.fset.Position(n.Pos()).Line)
}

// imports maps the local name of each import to its path.
func (s Source) imports() map[string]string {
	names := map[string]string{}
	for _, spec := range s.ast.Imports {
		target := strings.Trim(spec.Path.Value, `"`)
		name := path.Base(target)
		if name == "v2" {
			name = path.Base(path.Dir(target))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = target
	}
	return names
}

// importsPackage reports whether the file imports a package.
func (s Source) importsPackage(target string) bool {
	for _, spec := range s.ast.Imports {
		if spec.Path.Value == `"`+target+`"` {
			return true
		}
	}
	return false
}

// Rooms lists the folders that contain code other than tests, sorted.
func Rooms(sources []Source) []string {
	var rooms []string
	for _, s := range sources {
		if !s.Test {
			rooms = append(rooms, s.Room)
		}
	}
	slices.Sort(rooms)
	return slices.Compact(rooms)
}
