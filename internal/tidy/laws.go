package tidy

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// The sizes that no file and no function may exceed. The best codebases keep
// functions short (bbolt, etcd/raft: under 2 % beyond 70 lines) and files
// under 1,000 lines.
const (
	maxFunctionLines = 70
	maxFileLines     = 700
)

// Law is one rule of the house.
type Law struct {
	Name string
	// Reason is why the law exists.
	Reason string
	// Check lists the breaches in all sources of the module.
	Check func([]Source) []Finding
}

// Laws are the rules that need nothing but the source. Imports, which also
// read ARCHITECTURE.md, are checked by Levels, the APIs by Endpoints.
var Laws = []Law{
	{"outside", "a node touches the world through Env, so that a simulation can stand in for it", eachFile(outside)},
	{"package comment", "whoever opens a room is told what it is and where to start", packageComments},
	{"no init", "nothing happens because a package was linked in", eachFile(noInit)},
	{"short functions", "a function is read in one go", eachFile(shortFunctions)},
	{"short files", "a file holds one noun or one activity", eachFile(shortFiles)},
	{"no sleeping tests", "a test waits for a condition; a sleep is slow or flaky, mostly both", eachFile(noSleep)},
	{"nothing left to do", "an open end belongs on an issue, not into a comment", eachFile(noTodo)},
}

// eachFile makes a law over all sources of one over a single file.
func eachFile(check func(Source) []Finding) func([]Source) []Finding {
	return func(sources []Source) []Finding {
		var found []Finding
		for _, s := range sources {
			found = append(found, check(s)...)
		}
		return found
	}
}

// banned maps package and name to what stands in for it; "*" is every name of
// the package.
var banned = map[string]map[string]string{
	"os": {
		"Open": "vfs.FS", "OpenFile": "vfs.FS", "Create": "vfs.FS", "ReadFile": "vfs.ReadFile", "WriteFile": "vfs.WriteFileAtomic",
		"Remove": "vfs.FS", "RemoveAll": "vfs.FS", "Rename": "vfs.FS", "Mkdir": "vfs.FS", "MkdirAll": "vfs.FS",
		"ReadDir": "vfs.FS", "Stat": "vfs.FS", "Lstat": "vfs.FS", "Truncate": "vfs.FS", "MkdirTemp": "vfs.FS", "CreateTemp": "vfs.FS",
		"Getenv": "config.Sources", "Environ": "config.Sources", "LookupEnv": "config.Sources",
	},
	"time": {
		"Now": "the Now of Env (record timestamps, retention, expiry)", "Since": "the Now of Env", "Until": "the Now of Env",
	},
	"net": {
		"Dial": "Env.Dial", "DialTimeout": "Env.Dial", "Listen": "Env.Listen", "ListenTCP": "Env.Listen", "DialTCP": "Env.Dial",
	},
	"math/rand":    {"*": "a source derived from Env.Seed"},
	"math/rand/v2": {"*": "a source derived from Env.Seed"},
	"crypto/rand":  {"*": "a source derived from Env.Seed, or Env's own"},
}

// allowed names what a room may take from a banned package all the same.
var allowed = map[string][]string{
	"math/rand/v2": {"New", "NewPCG", "NewChaCha8", "Rand", "Source", "PCG", "ChaCha8"},
	"math/rand":    {"New", "NewSource", "Rand", "Source"},
}

// atTheEdge lists the rooms that are the outside world's door: vfs opens files,
// broker fills Env, the command line is a user's process. The last line is of
// rooms that no node has.
var atTheEdge = []string{
	"internal/vfs", "internal/cli", "internal/cli/bench", "internal/cli/node",
	"internal/tidy", "internal/story", "internal/replica/replicatest", "internal/schema/gen",
}

// edgeFiles are single files of other rooms that do the same.
var edgeFiles = []string{"internal/broker/env.go"}

// outside forbids to open a file, a socket or a random source, or to ask the
// wall clock, in a room of a node.
func outside(s Source) []Finding {
	if s.Test || !strings.HasPrefix(s.Path, "internal/") || slices.Contains(atTheEdge, s.Room) || slices.Contains(edgeFiles, s.Path) {
		return nil
	}
	imports := s.imports()
	var found []Finding
	ast.Inspect(s.ast, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := selector.X.(*ast.Ident)
		if !ok || pkg.Obj != nil {
			return true
		}
		from := imports[pkg.Name]
		instead, ok := banned[from][selector.Sel.Name]
		if !ok && !slices.Contains(allowed[from], selector.Sel.Name) {
			instead, ok = banned[from]["*"]
		}
		if ok {
			found = append(found, Finding{s.at(n), fmt.Sprintf("%s.%s: take %s", from, selector.Sel.Name, instead)})
		}
		return true
	})
	return found
}

// packageComments demands a comment on each package, once.
func packageComments(sources []Source) []Finding {
	documented := map[string]int{}
	for _, s := range sources {
		if !s.Test && s.ast.Doc != nil {
			documented[s.Room]++
		}
	}
	var found []Finding
	for _, room := range Rooms(sources) {
		switch documented[room] {
		case 0:
			found = append(found, Finding{room, "no package comment: say what it is and where to start reading"})
		case 1:
		default:
			found = append(found, Finding{room, "several package comments: keep the one where reading starts"})
		}
	}
	return found
}

// noInit forbids init functions.
func noInit(s Source) []Finding {
	var found []Finding
	for _, decl := range s.ast.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			found = append(found, Finding{s.at(f), "func init: make it a variable's initialiser or a constructor's work"})
		}
	}
	return found
}

// shortFunctions bounds the length of a function; tests may be longer because
// a story is.
func shortFunctions(s Source) []Finding {
	if s.Test || s.Generated {
		return nil
	}
	var found []Finding
	for _, decl := range s.ast.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		lines := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1
		if lines > maxFunctionLines {
			found = append(found, Finding{s.at(f), fmt.Sprintf("%s has %d lines, at most %d: give its steps names", f.Name.Name, lines, maxFunctionLines)})
		}
	}
	return found
}

// shortFiles bounds the length of a file.
func shortFiles(s Source) []Finding {
	lines := strings.Count(s.Text, "\n")
	if s.Generated || lines <= maxFileLines || s.Test && lines <= 2*maxFileLines {
		return nil
	}
	return []Finding{{s.Path, fmt.Sprintf("%d lines, at most %d: split it by activity", lines, maxFileLines)}}
}

// noSleep forbids time.Sleep in tests, but where testing/synctest makes it a
// step of a virtual clock, which waits for everybody else to come to rest.
func noSleep(s Source) []Finding {
	if !s.Test || s.importsPackage("testing/synctest") {
		return nil
	}
	var found []Finding
	ast.Inspect(s.ast, func(n ast.Node) bool {
		if call, ok := n.(*ast.SelectorExpr); ok && call.Sel.Name == "Sleep" {
			if pkg, ok := call.X.(*ast.Ident); ok && s.imports()[pkg.Name] == "time" {
				found = append(found, Finding{s.at(n), "time.Sleep: wait for the condition (a channel, a callback, synctest)"})
			}
		}
		return true
	})
	return found
}

// open matches the words of unfinished work.
var open = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

// noTodo forbids unfinished work in the source.
func noTodo(s Source) []Finding {
	var found []Finding
	for _, group := range s.ast.Comments {
		if open.MatchString(group.Text()) {
			found = append(found, Finding{s.at(group), "an open end in a comment: do it, or file an issue"})
		}
	}
	return found
}

// apiFile matches the file of one API: its key in two digits and the name of
// its schema.
var apiFile = regexp.MustCompile(`^(\d\d)_([a-z_]+)\.go$`)

// Endpoints compares the files of internal/api with the rows of its table,
// given as key → name in CamelCase.
func Endpoints(sources []Source, rows map[int16]string) []Finding {
	files := map[string]bool{}
	var found []Finding
	for _, s := range sources {
		if s.Room != "internal/api" || s.Test {
			continue
		}
		base := path.Base(s.Path)
		if apiFile.MatchString(base) {
			files[base] = true
		}
	}
	for key, name := range rows {
		want := fmt.Sprintf("%02d_%s.go", key, snake(name))
		if !files[want] {
			found = append(found, Finding{"internal/api", fmt.Sprintf("%s (%d) is in the table but %s is missing", name, key, want)})
		}
		delete(files, want)
	}
	for file := range files {
		found = append(found, Finding{"internal/api/" + file, "no row of the table has this key and name: add the row or remove the file"})
	}
	return found
}

// snake turns CreateTopics into create_topics.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteString(strings.ToLower(string(r)))
	}
	return b.String()
}
