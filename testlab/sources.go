package testlab

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// source is one place that apt gets packages from; sources.list(5).
type source struct {
	URI        string
	Suite      string
	Components []string
	// SignedBy is a path of a keyring, or an armoured key of several lines, as it stands in the deb822 field.
	SignedBy string
}

// parseOneLine reads the format of /etc/apt/sources.list: "deb [option=value …] URI suite component …". Lines that are
// not "deb" are not for us: sources of source code, comments.
func parseOneLine(data []byte) ([]source, error) {
	var found []source
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line, _, _ = strings.Cut(line, "#")
		kind, rest, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "\t", " ")), " ")
		if kind != "deb" {
			continue
		}
		rest = strings.TrimSpace(rest)
		var options string
		if after, ok := strings.CutPrefix(rest, "["); ok {
			if options, rest, ok = strings.Cut(after, "]"); !ok {
				return nil, fmt.Errorf("line %d: the options have no closing bracket", number)
			}
		}
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			return nil, fmt.Errorf("line %d: a source needs a URI and a suite", number)
		}
		s := source{URI: fields[0], Suite: fields[1], Components: fields[2:]}
		for option := range strings.FieldsSeq(options) {
			if key, value, _ := strings.Cut(option, "="); strings.EqualFold(key, "signed-by") {
				s.SignedBy = value
			}
		}
		found = append(found, s)
	}
	return found, nil
}

// parseDeb822 reads the format of *.sources: stanzas of fields, one or more URIs and suites in each.
func parseDeb822(data []byte) ([]source, error) {
	var found []source
	stanza, last := map[string]string{}, ""
	end := func() error {
		sources, err := stanzaSources(stanza)
		found = append(found, sources...)
		stanza, last = map[string]string{}, ""
		return err
	}
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimRight(line, " \t\r\n")
		switch {
		case strings.HasPrefix(line, "#"):
		case line == "":
			if err := end(); err != nil {
				return nil, fmt.Errorf("the stanza that ends at line %d: %w", number, err)
			}
		case line[0] == ' ' || line[0] == '\t':
			if last == "" {
				return nil, fmt.Errorf("line %d: continues a field that never began", number)
			}
			stanza[last] += "\n" + line
		default:
			key, value, colon := strings.Cut(line, ":")
			if !colon {
				return nil, fmt.Errorf("line %d: a field needs a colon", number)
			}
			last = strings.ToLower(key)
			stanza[last] = strings.TrimSpace(value)
		}
	}
	if err := end(); err != nil {
		return nil, fmt.Errorf("the last stanza: %w", err)
	}
	return found, nil
}

func stanzaSources(stanza map[string]string) ([]source, error) {
	off := []string{"no", "false", "off", "0", "without", "disable"}
	if slices.Contains(off, strings.ToLower(stanza["enabled"])) ||
		!slices.Contains(strings.Fields(stanza["types"]), "deb") {
		return nil, nil
	}
	uris, suites := strings.Fields(stanza["uris"]), strings.Fields(stanza["suites"])
	if len(uris) == 0 || len(suites) == 0 {
		return nil, fmt.Errorf("a source needs URIs and Suites")
	}
	var found []source
	for _, uri := range uris {
		for _, suite := range suites {
			found = append(found, source{URI: uri, Suite: suite,
				Components: strings.Fields(stanza["components"]), SignedBy: stanza["signed-by"]})
		}
	}
	return found, nil
}

// sourcesFor chooses, of all sources of this machine, those of its distribution itself, and turns them to the wanted
// release: the same mirrors, the same keys.
func sourcesFor(want, machine release, all []source) ([]source, error) {
	if want.Distro != machine.Distro {
		return nil, fmt.Errorf("image %s: this machine runs %s, and its apt sources hold %s only; leave the image out, or say %s",
			want.Image, machine.Image, machine.Distro, machine.Image)
	}
	var chosen []source
	for _, s := range all {
		if !slices.Contains(s.Components, "main") {
			continue
		}
		for _, pocket := range []string{"", "-updates", "-security"} {
			if s.Suite == machine.Codename+pocket {
				s.Suite = want.Codename + pocket
				chosen = append(chosen, s)
			}
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no source of %s %s (component main) in /etc/apt: the lab builds its image from there", machine.Distro, machine.Codename)
	}
	return chosen, nil
}

// withTypes is what renderDeb822 wrote, of another type of packages.
func withTypes(types string, text []byte) []byte {
	return bytes.ReplaceAll(text, []byte("Types: deb\n"), []byte("Types: "+types+"\n"))
}

// renderDeb822 writes sources as apt and mmdebstrap read them.
func renderDeb822(sources []source) []byte {
	var b strings.Builder
	for _, s := range sources {
		fmt.Fprintf(&b, "Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\n", s.URI, s.Suite, strings.Join(s.Components, " "))
		if s.SignedBy != "" {
			fmt.Fprintf(&b, "Signed-By: %s\n", s.SignedBy)
		}
		b.WriteByte('\n')
	}
	return []byte(b.String())
}
