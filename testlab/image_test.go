package testlab

import (
	"slices"
	"strings"
	"testing"
)

func TestRecipesHaveNamesOfTheirOwn(t *testing.T) {
	sources := []source{{URI: "http://one", Suite: "bookworm", Components: []string{"main"}}}
	recipe := func() imageRecipe { return newImageRecipe(releases()[0], sources) }
	if a, b := recipe().key(), recipe().key(); a != b {
		t.Fatalf("the same recipe is %s and %s", a, b)
	}
	changes := map[string]func(*imageRecipe){
		"version":  func(r *imageRecipe) { r.Version++ },
		"release":  func(r *imageRecipe) { r.Release = releases()[1] },
		"mirror":   func(r *imageRecipe) { r.Sources = []source{{URI: "http://two", Suite: "bookworm"}} },
		"packages": func(r *imageRecipe) { r.Packages = append(r.Packages, "vim") },
		"a file":   func(r *imageRecipe) { r.Files["/etc/motd"] = "hello" },
		"users":    func(r *imageRecipe) { r.Users[0].Sudo = "ALL" },
		"masked":   func(r *imageRecipe) { r.Masked = nil },
		"removed":  func(r *imageRecipe) { r.Removed = nil },
	}
	for what, change := range changes {
		r := recipe()
		change(&r)
		if r.key() == recipe().key() {
			t.Errorf("another %s makes no other image", what)
		}
	}
	one := repositoryRecipe{Image: recipe().key(), Packages: []string{"a"}}
	two := repositoryRecipe{Image: recipe().key(), Packages: []string{"a", "b"}}
	if one.key() == two.key() || !strings.HasPrefix(one.key(), recipe().key()) {
		t.Errorf("repositories are called %s and %s", one.key(), two.key())
	}
}

func TestImageHoldsEveryUser(t *testing.T) {
	users := newImageRecipe(releases()[0], nil).Users
	for i, name := range imageUsers() {
		if users[i].Name != name {
			t.Errorf("user %d of the image is %s, and its key is written for %s", i, users[i].Name, name)
		}
	}
}

func TestSourcePackages(t *testing.T) {
	packages, sources := binariesAndSources([]string{"src:dpdk", "gcc", "src:openvswitch"})
	if !slices.Equal(packages, []string{"gcc"}) || !slices.Equal(sources, []string{"dpdk", "openvswitch"}) {
		t.Errorf("packages %q, sources %q", packages, sources)
	}
	text := renderDeb822([]source{{URI: "http://mirror/debian", Suite: "bookworm", Components: []string{"main"}}})
	if got := string(withTypes("deb-src", text)); got != "Types: deb-src\nURIs: http://mirror/debian\nSuites: bookworm\nComponents: main\n\n" {
		t.Errorf("sources of source packages are %q", got)
	}
}
