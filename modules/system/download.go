package system

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
	"weft/engine/step"
)

// DownloadSpec is the spec of kind download.
type DownloadSpec struct {
	Path        string            `json:"path" weft:"label" doc:"Absolute path that the file is to have on the host."`
	URLs        []string          `json:"urls,omitzero" doc:"Where it is to be had, tried in this order: https:, http:, file: (a path on the host). Required unless the state is absent."`
	SHA256      string            `json:"sha256,omitzero" doc:"SHA-256 of the file, 64 hexadecimal digits. Required unless the state is absent."`
	Username    string            `json:"username,omitzero" doc:"User name that servers ask for; curl is needed then."`
	Password    string            `json:"password,omitzero" weft:"secret" doc:"Password to the user name."`
	Environment map[string]string `json:"environment,omitzero" doc:"Environment of the program that fetches: https_proxy, no_proxy, CURL_CA_BUNDLE. A place for secrets."`
	MaxMB       int               `json:"max_mb" default:"4096" doc:"The largest that it may be, in units of 1024 * 1024 bytes. A server that sends more is cut off."`
	Timeout     string            `json:"timeout,omitzero" default:"30m" doc:"How long each URL may take, with its unit. One that sends less than 1 kB/s for a minute is given up before."`
	Owner       step.Attr[string] `json:"owner,omitzero" doc:"User that owns it, by name or number; root for a new file."`
	Group       step.Attr[string] `json:"group,omitzero" doc:"Group that owns it, by name or number; root for a new file."`
	Mode        step.Attr[string] `json:"mode,omitzero" doc:"Permission bits in octal, as a string; 0644 for a new file."`
	State       step.State        `json:"state,omitzero" default:"present" doc:"Whether it is there."`
}

// DownloadOutputs are the outputs of kind download.
type DownloadOutputs struct {
	Path   string `json:"path" doc:"The path of the file."`
	SHA256 string `json:"sha256" doc:"SHA-256 of the file."`
}

var sumShape = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Validate finds URLs that no program would fetch and sums that are none.
func (d *DownloadSpec) Validate() []step.Problem {
	problems := append(pathProblems(d.Path), modeProblems(d.Mode)...)
	if d.State.There() && len(d.URLs) == 0 {
		problems = append(problems, step.Problem{Path: "urls", Message: "is missing", Hint: `write it as a list: ["https://…"]`})
	}
	for i, text := range d.URLs {
		u, err := url.Parse(text)
		at := fmt.Sprintf("urls[%d]", i)
		switch {
		case err != nil || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '"' || r == '\\' }):
			problems = append(problems, step.Problem{Path: at, Message: "is not a URL"})
		case u.Scheme == "file" && (u.Host != "" || !path.IsAbs(u.Path)):
			problems = append(problems, step.Problem{Path: at, Message: "names no file of the host", Hint: "write it as file:///srv/x.tar"})
		case u.Scheme != "file" && (u.Scheme != "http" && u.Scheme != "https" || u.Host == ""):
			problems = append(problems, step.Problem{Path: at, Message: "is neither http:, https: nor file:"})
		case u.User != nil:
			problems = append(problems, step.Problem{Path: at, Message: "holds a user name or password", Hint: "give them as username and password"})
		}
	}
	if d.State.There() && !sumShape.MatchString(strings.ToLower(d.SHA256)) {
		problems = append(problems, step.Problem{Path: "sha256", Message: fmt.Sprintf("%q is not a SHA-256 in 64 hexadecimal digits", d.SHA256)})
	}
	if limit, err := time.ParseDuration(d.Timeout); d.Timeout != "" && (err != nil || limit < time.Second) {
		problems = append(problems, step.Problem{Path: "timeout", Message: fmt.Sprintf("%q is not a time", d.Timeout), Hint: `write it with its unit: "90s", "30m"`})
	}
	if d.MaxMB < 0 {
		problems = append(problems, step.Problem{Path: "max_mb", Message: "is less than nothing"})
	}
	if strings.ContainsAny(d.Username+d.Password, "\n\r\x00") || strings.Contains(d.Username, ":") {
		problems = append(problems, step.Problem{Path: "username", Message: "or password holds what none can hold", Hint: "a user name has no colon, neither has line ends"})
	}
	for name := range d.Environment {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			problems = append(problems, step.Problem{Path: "environment", Message: fmt.Sprintf("%q is not the name of a variable", name)})
		}
	}
	return problems
}

func downloadKind() step.Kind {
	return step.Kind{
		Name:    "download",
		Summary: "A file from a server or a mirror, held to its SHA-256.",
		Doc: `Fetched by curl, wget or apt's apt-helper, whichever the host has in this order, to a name of its own beside the path (.NAME.weft-part). Only once its sum is
right it takes the place of what was there. A server that does not answer, or sends another file, is passed over for the next; the message says the sum that was
got and the one wanted. What was fetched before a cut is kept, and the next try, of this run or of another one, goes on from there where curl or wget does it.

Where others than root may write to the directory it is fetched into weft's own, /var/lib/weft/kept, and copied from there, so that has to have the room too, and another run begins anew. The
plan warns of those who can replace the file.

A file whose sum is right is never fetched again. Files up to 8 MiB that are replaced or removed are kept for undo; the plan says before the run that a larger one cannot come
back, so give each version a path of its own.

User name and password are handed to curl on its standard input. No program's arguments hold them.`,
		Spec: DownloadSpec{}, Outputs: DownloadOutputs{},
		Example: `step "download" "/var/cache/weft/tool-1.2.tar.xz" {
  urls   = ["https://mirror.example.org/tool-1.2.tar.xz", "https://example.org/tool-1.2.tar.xz"]
  sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[DownloadSpec](u)
			if err != nil {
				return nil, err
			}
			hidden := slices.ContainsFunc(u.Secret, func(p string) bool { return strings.HasPrefix(p, "urls") })
			s := received{parented{step.Of("file "+spec.Path, downloads{spec, hidden}, spec.state()), spec.Path, spec.State}}
			return honest{s}, nil
		},
	}
}

// downloaded is the state of a file that is known by its sum.
type downloaded struct {
	Path   string            `json:"path" weft:"label"`
	SHA256 step.Attr[string] `json:"sha256,omitzero"`
	Owner  step.Attr[string] `json:"owner,omitzero"`
	Group  step.Attr[string] `json:"group,omitzero"`
	Mode   step.Attr[string] `json:"mode,omitzero"`
	State  step.State        `json:"state,omitzero"`

	// Text is the content of a file that goes, and can come back.
	Text step.Attr[content] `json:"text,omitzero" weft:"found"`
	// Lost says why it cannot.
	Lost string `json:"lost,omitzero" weft:"found"`
	// Part says whether there is a part of a file that a cut left.
	Part step.Attr[bool] `json:"part,omitzero" weft:"found"`
	// Loose says who can put another file into its place.
	Loose string `json:"loose,omitzero" weft:"found"`
}

func (d DownloadSpec) state() downloaded {
	want := downloaded{Path: d.Path, Owner: d.Owner, Group: d.Group, Mode: canonicalMode(d.Mode), State: d.State}
	if d.State.There() {
		want.SHA256 = step.Is(strings.ToLower(d.SHA256))
	}
	return want
}

// part is where a file is fetched to.
func (s downloaded) part() string {
	return path.Join(path.Dir(s.Path), "."+path.Base(s.Path)+".weft-part")
}

// downloads fetches what its spec says; the sum decides what it was.
type downloads struct {
	spec   DownloadSpec
	hidden bool // a URL is sensitive
}

// Read sums the file. It is kept only where it may go.
func (downloads) Read(ctx context.Context, v host.View, want downloaded) (downloaded, error) {
	have := downloaded{Path: want.Path, State: step.Present}
	gone, err := notThere(ctx, v, want.part())
	if err != nil {
		return have, err
	}
	have.Part = step.Is(!gone)
	if want.State.There() {
		who, replace, err := writersOf(ctx, v, path.Dir(want.Path))
		if err != nil {
			return have, err
		}
		if replace {
			have.Loose = who
		}
	}
	info, err := v.Files.Stat(ctx, want.Path)
	if errors.Is(err, fs.ErrNotExist) {
		have.State = step.Absent
		return have, nil
	}
	if err != nil {
		return have, err
	}
	if info.Type != host.Regular {
		return have, fmt.Errorf("there is a %s at this path, not a file; weft does not replace it", info.Type)
	}
	if have.Owner, err = spelled(ctx, v, "/etc/passwd", info.Owner, want.Owner); err != nil {
		return have, err
	}
	if have.Group, err = spelled(ctx, v, "/etc/group", info.Group, want.Group); err != nil {
		return have, err
	}
	have.Mode = step.Is(formatMode(info.Mode))
	if info.Size > fileLimit {
		have.Lost = fmt.Sprintf("the file that goes has %d bytes, more than the %d that weft keeps", info.Size, fileLimit)
		sum, err := host.Sum(ctx, v, want.Path)
		have.SHA256 = step.Is(sum)
		return have, err
	}
	b, err := v.Files.Read(ctx, want.Path)
	sum := sha256.Sum256(b)
	have.SHA256 = step.Is(hex.EncodeToString(sum[:]))
	if !want.State.There() || want.SHA256 != have.SHA256 {
		have.Text = step.Is(content(b))
	}
	return have, err
}

// Diff compares the file, and finds a part that was not there before us.
func (downloads) Diff(have, want downloaded) []step.Delta {
	deltas := step.Compare(have, want)
	if was, ok := want.Part.Get(); ok && !was && have.Part.Or(false) {
		deltas = append(deltas, step.Change("part", true, nil))
	}
	return deltas
}

// Write fetches, keeps or removes the file. What an undo is to bring back is in
// want.
func (d downloads) Write(ctx context.Context, h host.Host, have, want downloaded) error {
	if was, ok := want.Part.Get(); ok && !was && have.Part.Or(false) {
		if err := h.Files.Remove(ctx, want.part()); err != nil {
			return err
		}
	}
	if !want.State.There() {
		return h.Files.Remove(ctx, want.Path)
	}
	a, err := attributes(want.Owner, want.Group, want.Mode)
	if err != nil {
		return err
	}
	wanted := want.SHA256.Or("")
	if have.State.There() && have.SHA256.Or("") == wanted {
		return h.Files.SetAttributes(ctx, want.Path, a)
	}
	if text, ok := want.Text.Get(); ok {
		return h.Files.Write(ctx, want.Path, []byte(text), a)
	}
	// As an existing file has them, and a new one.
	if a.Mode == nil {
		mode, err := parseMode(have.Mode.Or("0644"))
		if err != nil {
			return err
		}
		a.Mode = &mode
	}
	if a.Owner == "" {
		a.Owner = have.Owner.Or("root")
	}
	if a.Group == "" {
		a.Group = have.Group.Or("root")
	}
	return d.bring(ctx, h, want, a)
}

// Advise says where a large file cannot come back.
func (downloads) Advise(f *step.Finding, have, want downloaded) {
	f.Outputs, _ = json.Marshal(DownloadOutputs{Path: want.Path, SHA256: want.SHA256.Or("")})
	if have.Loose != "" && want.State.There() {
		f.Warnings = append(f.Warnings, have.Loose+", and can have another file take the place of this one")
	}
	if goes := func(d step.Delta) bool { return d.Path == "sha256" || d.Path == "state" }; slices.ContainsFunc(f.Deltas, goes) && have.State.There() {
		f.Cost.Irreversible = have.Lost
	}
}
