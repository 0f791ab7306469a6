/// For entrances other than WebSockets.
extension SyncEngine {
    package var authorizer: SpaceAuthorizer { self.services.authorizer }

    package var spaces: SpaceService { self.services.spaces }
}
