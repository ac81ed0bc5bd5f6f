package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The credentials that refused repositories accept, and the token given for them.
const registryUser, registryPassword, goodToken = "puller", "sesame", "good"

// registryOptions say what a registry serves and how it misbehaves.
//
// An archive busybox.tar is served as every repository whose last part is busybox (library/busybox,
// slow/busybox, team/a/busybox) with any tag. Every other repository is missing: 404.
type registryOptions struct {
	archives []string
	slow     []string // PREFIX=SECONDS
	refuse   []string // PREFIX
}

func (o *registryOptions) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.slow, "slow", nil, "PREFIX=SECONDS: pulls from repositories PREFIX and PREFIX/... take this much longer")
	f.StringArrayVar(&o.refuse, "refuse", nil, "PREFIX: repositories PREFIX and PREFIX/... answer 401 but to "+registryUser+":"+registryPassword+"; with a token service, or, where PREFIX ends in -basic, without")
}

func newRegistry() *cobra.Command {
	o := &registryOptions{}
	listen := ""
	c := &cobra.Command{Use: "registry --listen ADDRESS ARCHIVE.tar...", SilenceUsage: true, RunE: func(_ *cobra.Command, archives []string) error {
		o.archives = archives
		listener, err := net.Listen("tcp", listen)
		if err != nil {
			return err
		}
		handler, err := o.handler()
		if err != nil {
			return err
		}
		if err := announce(map[string]any{"registry": listener.Addr().String()}); err != nil {
			return err
		}
		return http.Serve(listener, handler)
	}}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address; plain HTTP")
	o.flags(c.Flags())
	return c
}

func (o *registryOptions) handler() (http.Handler, error) {
	type delay struct {
		prefix string
		time.Duration
	}
	var delays []delay
	for _, slow := range o.slow {
		prefix, text, _ := strings.Cut(slow, "=")
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("--slow %s: %w", slow, err)
		}
		delays = append(delays, delay{prefix, time.Duration(seconds * float64(time.Second))})
	}
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	// Loading compresses, which takes seconds: an image is loaded when it is first asked for.
	load := make(map[string]func() error)
	for _, archive := range o.archives {
		name := strings.TrimSuffix(path.Base(archive), ".tar")
		load[name] = sync.OnceValue(func() error { return push(store, archive, name) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			giveToken(w, r)
			return
		}
		repository, kind, rest := splitPath(r.URL.Path)
		if kind == "" {
			store.ServeHTTP(w, r)
			return
		}
		for _, prefix := range o.refuse {
			if !under(repository, prefix) || allowed(r) {
				continue
			}
			if strings.HasSuffix(prefix, "-basic") {
				w.Header().Set("WWW-Authenticate", `Basic realm="test registry"`)
			} else {
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test registry",scope="repository:%s:pull",error="insufficient_scope"`, r.Host, repository))
			}
			registryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
			return
		}
		for _, slow := range delays {
			// Once for each pull, where it looks the tag up: blobs that a node has are not asked for again.
			if kind == "manifests" && r.Method == http.MethodHead && under(repository, slow.prefix) {
				select {
				case <-time.After(slow.Duration):
				case <-r.Context().Done():
					return
				}
			}
		}
		name := path.Base(repository)
		if load[name] == nil {
			registryError(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
			return
		}
		if err := load[name](); err != nil {
			registryError(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
			return
		}
		if kind == "manifests" && !strings.Contains(rest, ":") { // a tag, not a digest
			rest = "any"
		}
		r.URL.Path = "/v2/" + name + "/" + kind + "/" + rest
		store.ServeHTTP(w, r)
	}), nil
}

// giveToken answers as token services do: everybody gets a token, but not everybody one that helps.
func giveToken(w http.ResponseWriter, r *http.Request) {
	token := "anonymous"
	user, password, given := r.BasicAuth()
	if r.Method == http.MethodPost {
		user, password, given = r.FormValue("username"), r.FormValue("password"), true
	}
	if given {
		if user != registryUser || password != registryPassword {
			registryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
			return
		}
		token = goodToken
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"token":%[1]q,"access_token":%[1]q}`, token)
}

func allowed(r *http.Request) bool {
	user, password, _ := r.BasicAuth()
	return user == registryUser && password == registryPassword || r.Header.Get("Authorization") == "Bearer "+goodToken
}

func registryError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

func under(repository, prefix string) bool {
	return repository == prefix || strings.HasPrefix(repository, prefix+"/")
}

// splitPath takes /v2/REPOSITORY/{manifests,blobs,tags}/REST apart.
func splitPath(url string) (repository, kind, rest string) {
	parts := strings.Split(strings.TrimPrefix(url, "/v2/"), "/")
	for i := len(parts) - 2; i > 0; i-- {
		if parts[i] == "manifests" || parts[i] == "blobs" || parts[i] == "tags" {
			return strings.Join(parts[:i], "/"), parts[i], strings.Join(parts[i+1:], "/")
		}
	}
	return "", "", ""
}

// push puts the one image of a docker-archive into the store, as a client would by HTTP.
func push(store http.Handler, archive, name string) error {
	image, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		return err
	}
	put := func(method, url, contentType string, body []byte) error {
		request, err := http.NewRequest(method, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", contentType)
		answer := &answer{header: http.Header{}}
		store.ServeHTTP(answer, request)
		if answer.status >= 300 {
			return fmt.Errorf("%s %s: %d %s", method, url, answer.status, answer.body.String())
		}
		return nil
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return err
		}
		compressed, err := layer.Compressed()
		if err != nil {
			return err
		}
		content, err := io.ReadAll(compressed)
		if err != nil {
			return err
		}
		if err := put("POST", "/v2/"+name+"/blobs/uploads/?digest="+digest.String(), "application/octet-stream", content); err != nil {
			return err
		}
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	digest, err := image.ConfigName()
	if err != nil {
		return err
	}
	if err := put("POST", "/v2/"+name+"/blobs/uploads/?digest="+digest.String(), "application/octet-stream", config); err != nil {
		return err
	}
	manifest, err := image.RawManifest()
	if err != nil {
		return err
	}
	kind, err := image.MediaType()
	if err != nil {
		return err
	}
	return put("PUT", "/v2/"+name+"/manifests/any", string(kind), manifest)
}

// answer keeps what a handler says. (httptest's recorder would add a flag to every component.)
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
