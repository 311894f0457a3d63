package tidy

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// The maximum sizes of functions and files. The best codebases keep functions
// short (bbolt, etcd/raft: under 2 % beyond 70 lines) and files under 1,000
// lines.
const (
	maxFunctionLines = 70
	maxFileLines     = 700
)

// Law is one rule for the source of the repository.
type Law struct {
	Name string
	// Reason is why the law exists.
	Reason string
	// Check returns the violations in all sources of the module.
	Check func([]Source) []Finding
}

// Laws are the rules that need only the source. Levels checks the imports,
// which also needs ARCHITECTURE.md. Endpoints checks the APIs.
var Laws = []Law{
	{"outside", "a node uses the outside world only through Env, so that a simulation can replace it", eachFile(outside)},
	{"package comment", "a reader must find out what a package is and where to start", packageComments},
	{"no init", "an import must have no side effects", eachFile(noInit)},
	{"short functions", "a function must be readable in one go", eachFile(shortFunctions)},
	{"short files", "a file contains one type or one activity", eachFile(shortFiles)},
	{"no sleeping tests", "a test must wait for a condition; a sleep is slow or flaky, mostly both", eachFile(noSleep)},
	{"nothing left to do", "unfinished work belongs in an issue, not in a comment", eachFile(noTodo)},
}

// eachFile makes a law over all sources from a check of a single file.
func eachFile(check func(Source) []Finding) func([]Source) []Finding {
	return func(sources []Source) []Finding {
		var found []Finding
		for _, s := range sources {
			found = append(found, check(s)...)
		}
		return found
	}
}

// banned maps package and name to the replacement; "*" stands for all names of
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

// allowed lists exceptions: names that a room may use from a banned package.
var allowed = map[string][]string{
	"math/rand/v2": {"New", "NewPCG", "NewChaCha8", "Rand", "Source", "PCG", "ChaCha8"},
	"math/rand":    {"New", "NewSource", "Rand", "Source"},
}

// atTheEdge lists the rooms that may use the outside world: vfs opens files,
// broker fills Env, the command line is a user's process. The rooms of the last
// line are not part of a node.
var atTheEdge = []string{
	"internal/vfs", "internal/cli", "internal/cli/bench", "internal/cli/node",
	"internal/tidy", "internal/story", "internal/replica/replicatest", "internal/schema/gen",
}

// edgeFiles are single files of other rooms with the same exception.
var edgeFiles = []string{"internal/broker/env.go"}

// outside forbids opening files, sockets and random sources, and reading the
// wall clock, in the rooms of a node.
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
			found = append(found, Finding{s.at(n), fmt.Sprintf("%s.%s: use %s", from, selector.Sel.Name, instead)})
		}
		return true
	})
	return found
}

// packageComments requires exactly one comment for each package.
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
			found = append(found, Finding{s.at(f), "func init: use the initializer of a variable or a constructor"})
		}
	}
	return found
}

// shortFunctions limits the length of functions. Tests may be longer, because
// they tell a story.
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
			found = append(found, Finding{s.at(f), fmt.Sprintf("%s has %d lines, at most %d: move its steps into functions", f.Name.Name, lines, maxFunctionLines)})
		}
	}
	return found
}

// shortFiles limits the length of files.
func shortFiles(s Source) []Finding {
	lines := strings.Count(s.Text, "\n")
	if s.Generated || lines <= maxFileLines || s.Test && lines <= 2*maxFileLines {
		return nil
	}
	return []Finding{{s.Path, fmt.Sprintf("%d lines, at most %d: split it by activity", lines, maxFileLines)}}
}

// noSleep forbids time.Sleep in tests. In testing/synctest it is allowed: there
// it advances a virtual clock after all other goroutines are blocked.
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

// open matches words that mark unfinished work.
var open = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

// noTodo forbids unfinished work in the source.
func noTodo(s Source) []Finding {
	var found []Finding
	for _, group := range s.ast.Comments {
		if open.MatchString(group.Text()) {
			found = append(found, Finding{s.at(group), "unfinished work in a comment: do it, or file an issue"})
		}
	}
	return found
}

// apiFile matches the name of the file of an API: its key in two digits and the
// name of its schema.
var apiFile = regexp.MustCompile(`^(\d\d)_([a-z_]+)\.go$`)

// Endpoints compares the files of internal/api with the rows of its table. rows
// maps keys to names in CamelCase.
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

// snake converts CreateTopics to create_topics.
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
