package packages

import (
	"fmt"
	"net/url"
	"path"
	"strings"

	"weft/engine/step"
)

// RepositorySpec is the spec of kind package_repository.
type RepositorySpec struct {
	Name           string            `json:"name,omitzero" weft:"label" doc:"Its id: the section of a .repo file, the name of a .sources file."`
	By             string            `json:"by,omitzero" weft:"enum=apt|dnf|yum" doc:"The package manager; where left out, that of the host's distribution."`
	URIs           []string          `json:"uris,omitzero" doc:"Where it lies: http:, https: or file:, in the order of preference (baseurl of a .repo file)."`
	Mirrorlist     step.Attr[string] `json:"mirrorlist,omitzero" doc:"URL of a list of mirrors, instead of uris. Of dnf and yum only."`
	Metalink       step.Attr[string] `json:"metalink,omitzero" doc:"URL of a metalink, instead of uris. Of dnf and yum only."`
	Description    step.Attr[string] `json:"description,omitzero" doc:"What people read (name of a .repo file). Of dnf and yum only."`
	Types          []string          `json:"types,omitzero" weft:"set" doc:"deb, deb-src; deb where a new one leaves it out. Of apt only."`
	Suites         []string          `json:"suites,omitzero" weft:"set" doc:"Suites, or one directory that ends with a slash. Of apt only."`
	Components     []string          `json:"components,omitzero" weft:"set" doc:"Components of the suites: main. Of apt only."`
	Architectures  []string          `json:"architectures,omitzero" weft:"set" doc:"Architectures to fetch; those of dpkg where left out. Of apt only."`
	Enabled        step.Attr[bool]   `json:"enabled,omitzero" doc:"Whether it is used. A disabled one is used by the enable_repositories of a package."`
	GPGCheck       step.Attr[bool]   `json:"gpgcheck,omitzero" doc:"Whether signatures are asked for. False lets everybody in who can answer for the server."`
	Key            step.Attr[string] `json:"key,omitzero" doc:"The public key that signs it, or several, in ASCII armour; all are trusted for this repository (rpm: by rpm's keyring)."`
	KeyFile        step.Attr[string] `json:"key_file,omitzero" doc:"Instead of key the path of one that is on the host."`
	Priority       step.Attr[int]    `json:"priority,omitzero" doc:"1 to 99: of repositories that have a package the lowest number wins. Of dnf and yum only."`
	ModuleHotfixes step.Attr[bool]   `json:"module_hotfixes,omitzero" doc:"Whether its packages win over those of modules. Of dnf only."`
	Pin            step.Attr[int]    `json:"pin,omitzero" doc:"Priority of its packages, see apt_preferences(5): 100 is below others, 1001 above what is installed. Of apt only."`
	State          step.State        `json:"state,omitzero" default:"present" doc:"Whether it is there."`

	File    string            `json:"file,omitzero" weft:"found"` // that holds it
	Text    step.Attr[string] `json:"text,omitzero" weft:"found"` // of the file, whole
	PinText step.Attr[string] `json:"pin_text,omitzero" weft:"found"`
	KeyText step.Attr[string] `json:"key_text,omitzero" weft:"found"` // of the key's file, whoever names it
	Added   []string          `json:"added,omitzero" weft:"found"`    // keys of the step that rpm's keyring did not have
	Missing []string          `json:"missing,omitzero" weft:"found"`  // directories that were not there
	Empty   []string          `json:"empty,omitzero" weft:"found"`    // directories that hold nothing

	Unpinned []string `json:"unpinned,omitzero" weft:"found"` // servers that the file of the pin leaves out
}

// Validate finds what is no repository, and what is the other family's.
func (s *RepositorySpec) Validate() []step.Problem {
	var found problems
	if !repositoryName.MatchString(s.Name) {
		found.add("name", fmt.Sprintf("%q is not the name of a repository", s.Name), "letters, digits, dots, dashes")
	}
	for _, uri := range s.URIs {
		checkURL(&found, "uris", uri)
	}
	for name, a := range map[string]step.Attr[string]{"mirrorlist": s.Mirrorlist, "metalink": s.Metalink} {
		if value, ok := a.Get(); ok {
			checkURL(&found, name, value)
		}
	}
	for name, list := range map[string][]string{"types": s.Types, "suites": s.Suites, "components": s.Components, "architectures": s.Architectures} {
		for _, word := range list {
			if word == "" || strings.ContainsAny(word, " \t\r\n,#") {
				found.add(name, fmt.Sprintf("%q is not one word", word), "")
			}
		}
	}
	if text := s.Description.Or(""); strings.ContainsAny(text, "\r\n") {
		found.add("description", "has several lines", "")
	}
	s.checkKey(&found)
	if n, ok := s.Priority.Get(); ok && (n < 1 || n > 99) {
		found.add("priority", fmt.Sprintf("is %d", n), "1 is the first, 99 the last")
	}
	if n, ok := s.Pin.Get(); ok && (n == 0 || n < -32768 || n > 32767) {
		found.add("pin", fmt.Sprintf("is %d", n), "see apt_preferences(5): 100, 500, 990, 1001")
	}
	if len(s.URIs) > 0 && (s.Mirrorlist.Managed() && !s.Mirrorlist.Absent() || s.Metalink.Managed() && !s.Metalink.Absent()) {
		found.add("uris", "and a list of mirrors do not go together", "")
	}
	if s.By != "" {
		for _, name := range s.foreign(s.By) {
			found.add(name, "means nothing to "+s.By, "leave it out")
		}
	}
	return found
}

func (s *RepositorySpec) checkKey(found *problems) {
	if key, ok := s.Key.Get(); ok {
		if _, err := parseKeys(key); err != nil {
			found.add("key", err.Error(), `give the text of the vendor's file: file("keys/vendor.asc")`)
		}
		if s.KeyFile.Managed() && !s.KeyFile.Absent() {
			found.add("key_file", "and key do not go together", "")
		}
	}
	if file, ok := s.KeyFile.Get(); ok && (!path.IsAbs(file) || strings.ContainsAny(file, " \t\r\n,")) {
		found.add("key_file", fmt.Sprintf("%q is not the path of a key", file), "")
	}
}

func checkURL(found *problems, where, text string) {
	u, err := url.Parse(text)
	if err != nil || strings.ContainsAny(text, " \t\r\n,#") {
		if strings.Contains(text, "@") { // which may come behind a password
			text = "its value"
		}
		found.add(where, fmt.Sprintf("%q is not a URL", text), "")
		return
	}
	if u.User != nil {
		found.add(where, "holds a user, and every user of the host can read it", "")
		return
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || !path.IsAbs(u.Path) {
			found.add(where, fmt.Sprintf("%q does not name a directory of the host", text), "file:///srv/rpms has three slashes")
		}
	case "http", "https", "ftp":
		if u.Host == "" {
			found.add(where, fmt.Sprintf("%q names no server", text), "")
		}
	default:
		found.add(where, fmt.Sprintf("%q is of a scheme that weft does not know", text), "http:, https: or file:")
	}
}

// foreign are the attributes that are set and mean nothing to a manager.
func (s *RepositorySpec) foreign(by string) []string {
	var names []string
	note := func(name string, set bool) {
		if set {
			names = append(names, name)
		}
	}
	if by == apt {
		note("mirrorlist", !s.Mirrorlist.IsZero())
		note("metalink", !s.Metalink.IsZero())
		note("description", !s.Description.IsZero())
		note("priority", !s.Priority.IsZero())
		note("module_hotfixes", !s.ModuleHotfixes.IsZero())
		return names
	}
	note("types", s.Types != nil)
	note("suites", s.Suites != nil)
	note("components", s.Components != nil)
	note("architectures", s.Architectures != nil)
	note("pin", !s.Pin.IsZero())
	return names
}

func repositoryKind() step.Kind {
	return step.Kind{
		Name:    "package_repository",
		Summary: "A repository of packages (apt, dnf, yum) with the key that signs it.",
		Doc: `Of apt it is a file NAME.sources (deb822) in /etc/apt/sources.list.d, its key /etc/apt/keyrings/NAME.asc by Signed-By, and its pin a file in
/etc/apt/preferences.d, with a record for each server. Of dnf and yum it is the section [NAME] of whatever file in /etc/yum.repos.d has it, else of a new NAME.repo; its key is
/etc/pki/rpm-gpg/RPM-GPG-KEY-NAME, and is imported into rpm's keyring, which all repositories share: rpm has no other.

An attribute that is left out stays as it is, and so do comments and whatever else the file holds: a step with enabled = false is enough to switch off what a
distribution brought. The check reads files only. After a change apt fetches its lists anew before the next installation; dnf keeps what it fetched by URL, and asks
a file: repository each time.

Undo brings the file back to the byte, unless another hand changed it since; the key goes out of rpm's keyring where the step brought it in, unless a key
file of /etc/pki/rpm-gpg that stays holds it. A removal leaves that keyring alone.`,
		Spec: RepositorySpec{},
		Example: `step "package_repository" "openvswitch" {
  uris = ["file:///srv/rpms/openvswitch"]
  gpgcheck = false
}`,
		Make: func(u step.Unit) (step.Step, error) {
			spec, err := step.Decode[RepositorySpec](u)
			if err != nil {
				return nil, err
			}
			if len(u.Secret) > 0 {
				return nil, fmt.Errorf("%s: %s is sensitive, and every user of the host can read what its package manager reads", u.Address, u.Secret[0])
			}
			for i, uri := range spec.URIs {
				spec.URIs[i] = canonicalURL(uri)
			}
			return step.Of("repository "+spec.Name, repositories{}, spec), nil
		},
	}
}

// canonicalURL has no slash at its end: both managers add one.
func canonicalURL(text string) string {
	if trimmed := strings.TrimRight(text, "/"); !strings.HasSuffix(trimmed, ":") {
		return trimmed
	}
	return text
}
