package packages

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

func (p place) readPin(ctx context.Context, v host.View, have *RepositorySpec) error {
	if p.by != apt {
		return nil
	}
	have.Pin = step.None[int]()
	content, ok, err := readText(ctx, v, p.pinFile)
	if !ok {
		return err
	}
	have.PinText, have.Pin = step.Is(content), pinIn(content)
	return nil
}

func pinIn(preferences string) step.Attr[int] {
	pin := step.None[int]()
	paragraphs(preferences, func() {}, func(name, value string) {
		if n, err := strconv.Atoi(value); name == "Pin-Priority" && err == nil {
			pin = step.Is(n)
		}
	}, func() {})
	return pin
}

// writePin writes apt's preferences for the server, or the directory, of the
// repository.
func (p place) writePin(ctx context.Context, h host.Host, want RepositorySpec) error {
	if p.by != apt {
		return nil
	}
	have, ok, err := readText(ctx, h.View(), p.pinFile)
	if err != nil {
		return err
	}
	n, pinned := want.Pin.Get()
	if text, found := want.PinText.Get(); !want.State.There() && want.undo() && found { // left by another hand
		if ok && have == text {
			return nil
		}
		return h.Files.Write(ctx, p.pinFile, []byte(text), host.Attributes{})
	}
	if !want.State.There() || want.Pin.Absent() {
		if ok {
			return h.Files.Remove(ctx, p.pinFile)
		}
		return nil
	}
	if !pinned {
		return nil
	}
	text, written := want.PinText.Get()
	if !written || pinIn(text) != step.Is(n) {
		uris := want.URIs
		if len(uris) == 0 {
			f := p.fields()
			uris = f.words("URIs")
		}
		if len(uris) == 0 {
			return errors.New("nothing says what to pin: the repository has no uris")
		}
		text = pinText(want.Name, uris, n)
	}
	if ok && have == text {
		return nil
	}
	return h.Files.Write(ctx, p.pinFile, []byte(text), host.Attributes{})
}

// pinText pins by the server's name; a file: repository has an empty one.
func pinText(name string, uris []string, priority int) string {
	var b strings.Builder
	var done []string
	for _, uri := range uris {
		u, err := url.Parse(uri)
		if err != nil || slices.Contains(done, u.Hostname()) {
			continue
		}
		done = append(done, u.Hostname())
		fmt.Fprintf(&b, "Explanation: %s, by weft\nPackage: *\nPin: origin \"%s\"\nPin-Priority: %d\n\n", name, u.Hostname(), priority)
	}
	return b.String()
}
