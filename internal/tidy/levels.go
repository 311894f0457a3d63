package tidy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Module is the path of the checked module.
const Module = "ottla"

// clientSide is the level of the rooms that are plain Kafka clients. They may
// import only the rooms in forClients and those in their own folder, so that
// each can be removed or run alone.
const clientSide = -1

// testSide is the level of rooms that only tests use. They may import all
// rooms.
const testSide = 100

var forClients = []string{"internal/protocol", "internal/config", "internal/record"}

// row matches a line of the table of rooms in ARCHITECTURE.md:
// | 2 | `internal/storage` | … |
var row = regexp.MustCompile("(?m)^\\| *(\\d+|client|test) *\\| *`([^`]+)` *\\|")

// ParseLevels reads the table of rooms: folder → level.
func ParseLevels(architecture string) map[string]int {
	levels := map[string]int{}
	for _, match := range row.FindAllStringSubmatch(architecture, -1) {
		switch match[1] {
		case "client":
			levels[match[2]] = clientSide
		case "test":
			levels[match[2]] = testSide
		default:
			levels[match[2]], _ = strconv.Atoi(match[1])
		}
	}
	return levels
}

// Levels compares the imports of the sources with the table. A room may import
// only rooms of lower levels; rooms of the same level must not import each
// other.
func Levels(sources []Source, levels map[string]int) []Finding {
	var found []Finding
	for _, room := range Rooms(sources) {
		if _, ok := levels[room]; !ok {
			found = append(found, Finding{room, "no row in the table of rooms in ARCHITECTURE.md: add one with its level"})
		}
	}
	for room := range levels {
		if !hasTenant(sources, room) {
			found = append(found, Finding{room, "a row in ARCHITECTURE.md but no code: add a room together with its code"})
		}
	}
	for _, s := range sources {
		if !s.Test {
			found = append(found, breaches(s, levels)...)
		}
	}
	return found
}

func hasTenant(sources []Source, room string) bool {
	for _, s := range sources {
		if s.Room == room && !s.Test {
			return true
		}
	}
	return false
}

// breaches lists the imports of a file that the table does not allow.
func breaches(s Source, levels map[string]int) []Finding {
	var found []Finding
	from := levels[s.Room]
	for _, spec := range s.ast.Imports {
		target := strings.Trim(spec.Path.Value, `"`)
		if target != Module && !strings.HasPrefix(target, Module+"/") {
			continue
		}
		room := strings.TrimPrefix(strings.TrimPrefix(target, Module), "/")
		if room == "" {
			room = "."
		}
		inside := from == clientSide && strings.HasPrefix(room, s.Room+"/")
		if !inside && !mayImport(from, room, levels[room]) {
			found = append(found, Finding{
				s.at(spec),
				fmt.Sprintf("%s (level %d) imports %s (level %d): only lower levels; pass it as a func or a small interface in broker, which connects the rooms", s.Room, from, room, levels[room]),
			})
		}
	}
	return found
}

// mayImport reports whether a room of level from may import the room to.
func mayImport(from int, to string, level int) bool {
	switch {
	case from == testSide:
		return true
	case from == clientSide:
		for _, room := range forClients {
			if room == to {
				return true
			}
		}
		return false
	case level == clientSide:
		return from >= 9
	default:
		return level < from
	}
}
