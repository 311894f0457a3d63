package main

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
)

// bom is a CycloneDX 1.5 document, as far as it is needed. It is written here
// and not by a library because a Go program names all that it is made of by
// itself (debug/buildinfo): what is left is this struct.
type bom struct {
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Version    int         `json:"version"`
	Metadata   metadata    `json:"metadata"`
	Components []component `json:"components"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type    string `json:"type"`
	Ref     string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl,omitempty"`
	Hashes  []hash `json:"hashes,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// writeSBOM writes PROGRAM.cdx.json: the modules that are linked into the
// program, and Go's library.
func (r release) writeSBOM(program string) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	sum, err := sumFile(program)
	if err != nil {
		return err
	}
	doc := bom{Format: "CycloneDX", Spec: "1.5", Version: 1, Metadata: metadata{
		Timestamp: r.date.Format(time.RFC3339),
		Component: component{Type: "application", Ref: "ottla", Name: filepath.Base(program), Version: r.version, Hashes: []hash{{"SHA-256", sum}}},
	}}
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	doc.Components = []component{{Type: "library", Ref: "pkg:golang/std@" + goVersion, Name: "std", Version: goVersion, PURL: "pkg:golang/std@" + goVersion}}
	for _, m := range info.Deps {
		c, err := moduleComponent(m)
		if err != nil {
			return err
		}
		doc.Components = append(doc.Components, c)
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(program+".cdx.json", append(text, '\n'), 0o644)
}

// moduleComponent is a module as the program names it. Its hash is the module's
// directory hash (go.sum's h1), which is a SHA-256.
func moduleComponent(m *debug.Module) (component, error) {
	if m.Replace != nil {
		m = m.Replace
	}
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
	if err != nil || len(sum) == 0 {
		return component{}, fmt.Errorf("module %s has no checksum: %q", m.Path, m.Sum)
	}
	purl := "pkg:golang/" + m.Path + "@" + m.Version
	return component{
		Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl, Hashes: []hash{{"SHA-256", hex.EncodeToString(sum)}},
	}, nil
}
