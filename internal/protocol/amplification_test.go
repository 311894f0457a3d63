package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// allocated is the number of bytes that f allocates. Other goroutines must be
// quiet.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// attack builds bodies that make a decoder allocate as much as it can for each
// byte: one array is repeated with the smallest elements there are.
type attack struct {
	shape    string
	version  int16
	flexible bool

	repeat int // position of the array in the shape
	times  int
	inner  int    // elements of the arrays inside it
	text   string // of every string
	null   bool   // what may be null is
	tag    bool   // every structure has an unknown tagged field

	inside bool // of the repeated array
	body   []byte
}

func (a *attack) String() string {
	return fmt.Sprintf("%q from %d on, inner %d, text %q, null %v, tag %v", a.shape, a.repeat, a.inner, a.text, a.null, a.tag)
}

func (a *attack) structure(p int) {
	for p < len(a.shape) && a.shape[p] != ']' && a.shape[p] != '}' && a.shape[p] != '<' {
		switch a.shape[p] {
		case ' ', ')':
			p++
		case '(':
			w := walker{shape: a.shape, version: a.version}
			p = w.versions(p)
		default:
			p = a.field(p)
		}
	}
	if a.flexible && a.tag {
		a.body = append(a.body, 1, 100, 0)
	} else if a.flexible {
		a.body = append(a.body, 0)
	}
}

func (a *attack) field(p int) int {
	nullable := a.shape[p] == '~'
	if nullable {
		p++
	}
	null := nullable && a.null
	switch a.shape[p] {
	case '*':
		n := a.count(p)
		a.length(n, 4)
		for range n {
			a.scalar(a.shape[p+1])
		}
		return p + 2
	case '[':
		outside, n := a.inside, a.count(p)
		a.inside = a.inside || p == a.repeat
		a.length(n, 4)
		for range n {
			a.structure(p + 1)
		}
		a.inside = outside
		return closing(a.shape, p) + 1
	case '{':
		if null {
			a.body = append(a.body, 0xff)
		} else {
			if nullable {
				a.body = append(a.body, 1)
			}
			a.structure(p + 1)
		}
		return closing(a.shape, p) + 1
	}
	if null {
		a.length(-1, map[byte]int{'s': 2, 'b': 4}[a.shape[p]])
	} else {
		a.scalar(a.shape[p])
	}
	return p + 1
}

// count is the number of elements of the array at p.
func (a *attack) count(p int) int {
	switch {
	case p == a.repeat:
		return a.times
	case a.inside:
		return a.inner
	case a.shape[p] == '[' && p < a.repeat && closing(a.shape, p) > a.repeat:
		return 1
	}
	return 0
}

func (a *attack) scalar(kind byte) {
	switch kind {
	case 's':
		a.length(len(a.text), 2)
		a.body = append(a.body, a.text...)
	case 'b':
		a.length(len(a.text), 4)
		a.body = append(a.body, a.text...)
	default:
		a.body = append(a.body, make([]byte, width(kind))...)
	}
}

func (a *attack) length(n, width int) {
	switch {
	case a.flexible:
		a.body = binary.AppendUvarint(a.body, uint64(n+1))
	case width == 2:
		a.body = binary.BigEndian.AppendUint16(a.body, uint16(n))
	default:
		a.body = binary.BigEndian.AppendUint32(a.body, uint32(n))
	}
}

// attacks calls test with every attack on a version of an API.
func attacks(s *shape, version int16, times int, test func(a *attack)) {
	for p := range len(s.fields) {
		if !strings.ContainsRune("[*", rune(s.fields[p])) {
			continue
		}
		for bits := range 16 {
			a := attack{
				shape: s.fields, version: version, flexible: version >= s.flexible,
				repeat: p, times: times, inner: bits & 1, text: "ab"[:bits>>1&1], null: bits>>2&1 == 1, tag: bits>>3 == 1,
			}
			a.structure(0)
			test(&a)
		}
	}
}

// allocationLimit is what decoding a body may allocate. The constant covers the
// message itself, and the partitions of Produce that are free.
func allocationLimit(key int16, body []byte) uint64 {
	constant := 8 << 10
	if key == produce {
		constant = 256 << 10
	}
	return uint64(slack * (Amplification(key)*len(body) + constant))
}

// decode is what the server does with a body.
func decode(key, version int16, body []byte) error {
	if key == produce {
		return ParseProduceRequest(version, body, new(ProduceRequest))
	}
	_, err := Decode(key, version, body)
	return err
}

// What decoding allocates is bounded by Amplification, however a body is made.
func TestAmplification(t *testing.T) {
	worst := map[int16]float64{}
	everyVersion(t, func(t *testing.T, key, version int16) {
		attacks(shapeOf(key), version, 1500/slack, func(a *attack) {
			grown := allocated(func() {
				if err := decode(key, version, a.body); err != nil && key != produce {
					t.Fatalf("%v: %v", a, err)
				}
			})
			if limit := allocationLimit(key, a.body); grown > limit {
				t.Errorf("%v: %d bytes allocated for %d, at most %d", a, grown, len(a.body), limit)
			}
			if len(a.body) > 1500 {
				worst[key] = max(worst[key], float64(grown)/float64(len(a.body)))
			}
		})
	})
	for key := range int16(len(shapes)) {
		if have := float64(Amplification(key)); have > 4 && have > 2*worst[key] {
			t.Errorf("%s: amplification %v is charged, %.1f was the worst", APIName(key), have, worst[key])
		}
	}
}

// FuzzDecode holds every decoder to its bound; the first byte picks the API,
// the second its version.
func FuzzDecode(f *testing.F) {
	for key := range int16(len(shapes)) {
		s := shapeOf(key)
		if s == nil {
			continue
		}
		for version := s.min; version <= s.max; version++ {
			r := newRandomizer(uint64(version))
			r.tags = true
			f.Add(uint8(key), uint8(version), r.request(key, version).AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, key, version uint8, body []byte) {
		var err error
		grown := allocated(func() { err = decode(int16(key), int16(version), body) })
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		if limit := allocationLimit(int16(key), body); grown > limit {
			t.Fatalf("%s: %d bytes allocated for %d, at most %d", APIName(int16(key)), grown, len(body), limit)
		}
	})
}
